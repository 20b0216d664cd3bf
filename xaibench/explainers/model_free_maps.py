"""Maps that never look at the model, for suites whose truth they may come near: sizes of inputs, fixed sensors."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer


@explainer("input_magnitude", kind="saliency", follows_outputs=False, model_free=True)
def input_magnitude(problem: ProblemView) -> Tensor:
    """Magnitudes of the inputs, summed over channels; the model is not asked.

    The placebo of data whose large values are the ones that matter. The control `input_edges` measures the distance
    from the background's mean instead.

    Raises
    ------
    UnsupportedError
        If the inputs are embeddings or categories, which have no size.
    """
    problem.layout.require_quantities("a magnitude")
    problem.layout.require_no_categories("a magnitude")
    return problem.layout.reduce(problem.inputs.abs())


@explainer("fixed_sensors", kind="saliency", needs={"series"}, follows_outputs=False, model_free=True)
def fixed_sensors(
    problem: ProblemView, *, sensors: Annotated[list[Annotated[int, Ge(0)]], MinLen(1)] | tuple[int, ...] = (0,)
) -> Tensor:
    """1 for some sensors at every step and 0 for all others, whatever the model and the series are.

    A lower bar than it looks: where a truth is about few sensors, naming all of them gets the whole area under
    recall.

    Parameters
    ----------
    sensors : sequence of int
        Numbers of the sensors, from 0.

    Raises
    ------
    UnsupportedError
        If the series have no such sensor.
    """
    shape = problem.layout.feature_shape
    n = shape[-1] if len(shape) > 1 else 1
    if max(sensors) >= n or min(sensors) < 0:
        raise UnsupportedError(f"sensor {max(sensors)} is not among the {n} of these series", "sensors count from 0")
    found = torch.zeros(len(problem), shape[0], n, dtype=problem.inputs.dtype, device=problem.inputs.device)
    found[:, :, list(sensors)] = 1
    return found.view(len(problem), *shape)
