"""A fitted model by name, and which of its layers an explainer uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import UsageError
from xaibench.core.problem import Problem
from xaibench.core.storage.paths import cache_folder
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef


def layer_in_model(spec: ExplainerSpec, problem: str, params: Mapping[str, Any], seed: int = 0) -> str:
    """Name, operation and shape of the layer, as rows have it in their column ``layer_used``.

    Parameters
    ----------
    spec : ExplainerSpec
    problem : str
        ``DATASET/MODEL``; the model is fitted if it is not in the cache.
    params : mapping
        Parameters of the explainer.
    seed : int
        Fixes data and training.

    Raises
    ------
    UsageError
        If the explainer uses no layer, or this is not a data set and a model.
    UnsupportedError
        If the model has no such layer.
    """
    dataset, slash, model = problem.partition("/")
    if not slash:
        raise UsageError(f"{problem!r} is not a model", "write DATASET/MODEL, for example digits/cnn")
    if spec.layer_used is None:
        raise UsageError(f"{spec.name} takes features from no layer of a model", "show it without --model")
    bound = spec.bind(params)
    return spec.layer_used(prepared_problem(dataset, model, seed).view(0), **bound)


def prepared_problem(dataset: str, model: str, seed: int = 0) -> Problem:
    """The problem of a data set and a model, by name, with one sample; the model is fitted if it is not in the cache.

    Raises
    ------
    UsageError
        If there is no such data set or model, or they do not go together.
    """
    chosen = ComponentRef.of("dataset", dataset, {}), ComponentRef.of("model", model, {})
    plan = ProblemSpec(*chosen, seed, samples=1, target="predicted", background=64)
    plan.check()
    return Problems(cache_folder()).prepare(plan)
