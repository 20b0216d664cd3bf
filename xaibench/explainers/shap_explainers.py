"""shap's explainers of any model: Kernel, Permutation, Partition."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.libraries import import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.types import Array
from xaibench.explainers.engines.library_calls import array_function, flat_rows, one_by_one, reference_rows


@explainer("shap:Kernel", kind="contribution", uses_background=True)
def shap_kernel(
    problem: ProblemView,
    *,
    nsamples: PositiveInt | Literal["auto"] = "auto",
    l1_reg: bool | float | str = "num_features(10)",
    draws: Draws,
) -> Tensor:
    """shap's KernelExplainer over at most 100 background rows; without a background over a row of zeros.

    Its default ``l1_reg`` selects ten players: all other features are exactly 0, whatever they do. With
    ``l1_reg=False`` and all coalitions in ``nsamples`` the values are the exact Shapley values.

    Parameters
    ----------
    nsamples : int or "auto"
        Coalitions; by default 2048 and two per feature.
    l1_reg : bool, float or str
        ``num_features(10)``, ``aic``, ``bic``, the strength of a lasso, or False.
    """
    shap = import_library("shap")
    rows = flat_rows(reference_rows(problem))

    def call(view: ProblemView, _seed: int) -> Tensor:
        method = shap.KernelExplainer(array_function(view), rows)
        found = method.shap_values(flat_rows(view.inputs), nsamples=nsamples, l1_reg=l1_reg, silent=True)
        return _like(view, found)

    return problem.layout.reduce(one_by_one(problem, draws, call))


@explainer("shap:Permutation", kind="contribution", uses_background=True)
def shap_permutation(problem: ProblemView, *, max_evals: PositiveInt | Literal["auto"] = 500, draws: Draws) -> Tensor:
    """shap's PermutationExplainer: Shapley values from random orders, each also in reverse, over background rows.

    Parameters
    ----------
    max_evals : int or "auto"
        Coalitions; every order takes two per feature, and one order at least is made whatever this says.
    """
    shap = import_library("shap")
    rows = flat_rows(reference_rows(problem))
    least = 2 * rows.shape[1] + 1
    evaluations = max_evals if isinstance(max_evals, str) else max(max_evals, least)

    def call(view: ProblemView, seed: int) -> Tensor:
        method = shap.PermutationExplainer(array_function(view), _independent(shap, rows), seed=seed)
        found = method(flat_rows(view.inputs), max_evals=evaluations, silent=True)
        return _like(view, found.values)

    return problem.layout.reduce(one_by_one(problem, draws, call))


@explainer("shap:Partition", kind="contribution", needs={"table", "background"})
def shap_partition(problem: ProblemView, *, max_evals: PositiveInt | Literal["auto"] = 500, draws: Draws) -> Tensor:
    """shap's PartitionExplainer: Owen values over a clustering of columns by their correlation.

    Parameters
    ----------
    max_evals : int or "auto"
        Evaluations of coalitions.
    """
    shap = import_library("shap")
    rows = flat_rows(reference_rows(problem))

    def call(view: ProblemView, _seed: int) -> Tensor:
        masker = shap.maskers.Partition(rows, max_samples=len(rows), clustering="correlation")
        method = shap.PartitionExplainer(array_function(view), masker)
        found = method(flat_rows(view.inputs), max_evals=max_evals, silent=True)
        return _like(view, found.values)

    return problem.layout.reduce(one_by_one(problem, draws, call))


def _independent(shap: object, rows: Array) -> object:
    return shap.maskers.Independent(rows, max_samples=len(rows))  # type: ignore[attr-defined]


def _like(view: ProblemView, values: Array) -> Tensor:
    """Values (1, D) as maps (1, *input_shape)."""
    return torch.from_numpy(np.asarray(values, np.float64)).reshape(1, *view.inputs.shape[1:]).to(view.inputs)
