"""``xaibench show DATASET/MODEL``: a fitted model, as a first look at its outputs found it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xaibench.cli.output import stdout
from xaibench.core import registry
from xaibench.core.components import ExplainerSpec
from xaibench.report.model_facts import describe_model

if TYPE_CHECKING:
    from xaibench.core.problem import Problem


def problem_parts(name: str) -> tuple[str, str] | None:
    """Data set and model of ``DATASET/MODEL``, or None if nothing before a slash is a data set.

    Names of functions and cases end in a number, also where a data set is called as they begin.
    """
    if name.rpartition("/")[2].isdecimal():
        return None
    known = {spec.name for spec in registry.components("dataset")}
    places = [i for i, letter in enumerate(name) if letter == "/"]
    for i in places:
        if name[:i] in known or ":" in name[:i]:
            return name[:i], name[i + 1 :]
    return None


def show_problem(dataset: str, model: str, *, plugins: Sequence[str] | None, seed: int) -> None:
    """Print what is known about a model once it is fitted; it is fitted if it is not in the cache."""
    from xaibench.api.layers import prepared_problem

    for plugin in plugins or ():
        registry.load_module(plugin)
    problem = prepared_problem(dataset, model, seed)
    facts = describe_model(problem.info["model"])
    width = max(map(len, facts))
    lines = [f"model {problem.name}", "", *(f"{name:<{width}}  {text}" for name, text in facts.items())]
    lines += [f"{'gate':<{width}}  {gate}" for gate in problem.gates]
    lines += _first_series(problem)
    stdout().print("\n".join(lines), markup=False, soft_wrap=True)


def _first_series(problem: Problem) -> list[str]:
    """The first test sample of a problem of series, with what is lost without each of its steps."""
    samples = problem.samples
    if samples.layout.kind != "series" or samples.sizes is not None:
        return []
    from xaibench.core.explaining import explain, explain_function
    from xaibench.report.series_text import series_lines

    spec = registry.get("explainer", "feature_ablation")
    assert isinstance(spec, ExplainerSpec)
    maps = explain(explain_function(spec, spec.bind({"masker": "mean"})), problem.view(0), "explain/shown")
    mask = None if problem.truth is None or problem.truth.mask is None else problem.truth.mask[0].cpu().numpy()
    inputs, values = samples.inputs[0].cpu().numpy(), maps[0].cpu().numpy()
    if samples.layout.sensors_first:
        inputs, values, mask = inputs.T, values.T, None if mask is None else mask.T
    drawn = series_lines(inputs, values, mask)
    below = "the truth below them" if mask is not None else "no truth is known"
    return ["", f"test sample 0; shades: what is lost without a step (feature_ablation, mean); {below}", *drawn]
