"""Another explainer's map with the same order of magnitudes and another histogram, for metrics that depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from annotated_types import Gt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.explaining import explain, explain_function
from xaibench.core.needs import sees_truth
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer as register
from xaibench.explainers.engines.wrapped_explainers import built_in_explainer

_NAME = "monotone_transform"


def _of_a_model_free_base(params: Mapping[str, Any]) -> bool:
    """Whether the base is a control or never asks the model itself: then neither does this."""
    base = built_in_explainer(str(params["base"]), _NAME)
    return base.placebo or (base.name != _NAME and base.never_asks_the_model({}))


@register(_NAME, kind="saliency", model_free=_of_a_model_free_base)
def monotone_transform(
    problem: ProblemView,
    *,
    base: str = "shapley_sampling",
    transform: Literal["power", "ranks"] = "power",
    power: Annotated[float, Gt(0)] = 0.5,
    draws: Draws,
) -> Tensor:
    """Magnitudes of another explainer's map under an increasing function: the same order, another histogram.

    Metrics of the order (`auprc`, `localisation_auc`) give both maps the same score. Where a metric prefers one of
    them it has measured the histogram: the area under recall of a map grows with a small power, and a random order
    with evenly spread values beats an exact map with a few large ones.

    Parameters
    ----------
    base : str
        Name of the explainer whose map it is, with its default parameters. It may be a control that does not know
        the truth.
    transform : {"power", "ranks"}
        Magnitudes to a power, or their relative ranks: the share of features whose magnitude is smaller, and half of
        those whose is equal. Ranks of `random` are uniform noise.
    power : float
        Of ``"power"``.

    Raises
    ------
    UsageError
        If there is no such explainer, or it is this one, or needs the truth or a value for a parameter.
    UnsupportedError
        If the model has no gradients and the explainer needs them, or if the explainer is not built in.
    """
    spec = built_in_explainer(base, _NAME)
    if spec.name == _NAME or sees_truth(spec.needs):
        raise UsageError(f"{_NAME} does not take the explainer {base!r}", "name one that does not need the truth")
    missing = sorted((spec.needs & {"gradients", "module", "attention"}) - problem.model.provides)
    if missing:
        raise UnsupportedError(f"explainer {base!r} needs {missing[0]}, which the model does not provide")
    found = explain(explain_function(spec, spec.bind({})), problem, draws.stream)
    size = found.to(problem.inputs.device).abs().flatten(1)
    if transform == "power":
        changed = size.double() ** power
    else:
        ordered = size.sort(dim=1).values
        below = torch.searchsorted(ordered, size.contiguous())
        not_above = torch.searchsorted(ordered, size.contiguous(), right=True)
        changed = (below + not_above).double() / (2 * size.shape[1])
    return changed.to(problem.inputs.dtype).view_as(found)
