"""Temporal saliency rescaling (Ismail et al. 2020): how far a map moves without a step, and without a sensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.explaining import ExplainFunction, explain, explain_function
from xaibench.core.needs import DATA_NEEDS, sees_truth
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.series_groups import series_groups
from xaibench.explainers.engines.perturbed_copies import blocks_of, sample_blocks
from xaibench.explainers.engines.wrapped_explainers import built_in_explainer

Rescaling = Literal["sensor", "cell"]
NAME = "temporal_rescaling"


@explainer(NAME, kind="saliency", needs={"series"})
def temporal_rescaling(
    problem: ProblemView,
    *,
    explainer: str = "input_x_gradient",
    explainer_params: dict[str, Any] | None = None,
    masker: str = "zero",
    alpha: Annotated[float, Ge(0), Lt(1)] = 0.55,
    by: Rescaling = "sensor",
) -> Tensor:
    """Change of another explainer's map without a step, times its change without a sensor (Ismail et al. 2020, TSR).

    With ``R`` the map of the other explainer, ``r_t = sum |R(x) - R(x without step t)|``. At steps whose ``r_t`` is
    above the quantile ``alpha``, ``r_td = sum |R(x) - R(x without sensor d)|``, and the map is ``r_t r_td``; elsewhere
    it is 0.

    Parameters
    ----------
    explainer : str
        A built-in explainer; copies are explained with the draws of their sample.
    explainer_params : dict, optional
        Its parameters.
    masker : str
        What removed steps, sensors and cells are set to.
    alpha : float
        Share of the steps that get 0.
    by : {"sensor", "cell"}
        ``r_td`` without sensor d as a whole (T + D explanations of a sample), or as published without its cell at
        step t (T + (1 - alpha) T D).

    Returns
    -------
    Tensor (N, *feature_shape)
        0 or more; 0 everywhere where no step is above the quantile, as in a series of one step.

    Raises
    ------
    UsageError
        If the other explainer is unknown.
    UnsupportedError
        If it is not built in, not for series, needs the truth, or is this one, or if the model lacks what it needs.
    """
    function = _wrapped(explainer, explainer_params or {})
    layout = problem.layout
    steps = series_groups(layout, "steps").to(problem.inputs.device)
    sensors = series_groups(layout, "sensors").to(problem.inputs.device)
    n_steps, n_sensors = int(steps.max()) + 1, int(sensors.max()) + 1
    maps = []
    for block in sample_blocks(problem, 4 * (n_steps + n_sensors) * layout.n_features):
        view = problem.take(block)
        clean = explain(function, view, _stream(explainer))
        without_steps = torch.arange(n_steps, device=steps.device).view(-1, *(1,) * steps.ndim) == steps
        by_step = _changes(function, view, clean, without_steps, masker, explainer)
        strong = by_step > by_step.double().quantile(alpha, dim=1, keepdim=True)
        weight = (by_step * strong)[:, steps]
        if by == "sensor":
            without_sensors = torch.arange(n_sensors, device=steps.device).view(-1, *(1,) * steps.ndim) == sensors
            maps.append(weight * _changes(function, view, clean, without_sensors, masker, explainer)[:, sensors])
        else:
            maps.append(weight * _cell_changes(function, view, clean, strong[:, steps], masker, explainer))
    return torch.cat(maps)


def _wrapped(name: str, params: Mapping[str, Any]) -> ExplainFunction:
    spec = built_in_explainer(name, NAME)
    kinds = spec.needs & DATA_NEEDS
    if spec.name == NAME or sees_truth(spec.needs) or (kinds and "series" not in kinds):
        raise UnsupportedError(f"{NAME} cannot rescale {name!r}", 'explainer="input_x_gradient", for example')
    return explain_function(spec, spec.bind(params))


def _stream(name: str) -> str:
    """Draws of the other explainer: the same for a sample and its copies."""
    return f"explain/{NAME}/{name}"


def _changes(
    function: ExplainFunction, view: ProblemView, clean: Tensor, removed: Tensor, masker: str, name: str
) -> Tensor:
    """How much the maps (N, *feature_shape) change in all when each group (K, *feature_shape) is removed: (N, K)."""
    rows = torch.arange(len(view), device=removed.device).repeat_interleave(len(removed))
    which = torch.arange(len(removed), device=removed.device).repeat(len(view))
    return _change(function, view, clean, rows, removed, which, masker, name).view(len(view), len(removed))


def _cell_changes(
    function: ExplainFunction, view: ProblemView, clean: Tensor, strong: Tensor, masker: str, name: str
) -> Tensor:
    """The same for single cells, where ``strong`` (N, *feature_shape); 0 elsewhere."""
    found = torch.zeros_like(clean).flatten(1)
    rows, cells = strong.flatten(1).nonzero(as_tuple=True)
    each = torch.eye(view.layout.n_features, dtype=torch.bool, device=rows.device)
    each = each.view(-1, *view.layout.feature_shape)
    if len(rows):
        found[rows, cells] = _change(function, view, clean, rows, each, cells, masker, name)
    return found.view_as(clean)


def _change(
    function: ExplainFunction,
    view: ProblemView,
    clean: Tensor,
    rows: Tensor,
    removed: Tensor,
    which: Tensor,
    masker: str,
    name: str,
) -> Tensor:
    """Sum (B,) of the absolute changes of the maps of samples ``rows`` (B,) without the groups ``which`` (B,)."""
    mask = view.masker(masker)
    found = torch.empty(len(rows), dtype=clean.dtype, device=clean.device)
    for part in blocks_of(view, len(rows), 8 * view.inputs[0].numel()):
        own = rows[part]
        copies = mask(view.inputs[own], ~removed[which[part]], own)
        again = explain(function, view.take(own, copies), _stream(name))
        found[part] = (again - clean[own]).abs().flatten(1).sum(dim=1)
    return found
