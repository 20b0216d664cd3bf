"""Continuity (Montavon et al. 2018): how much explanations change when the input is shifted by a few pixels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.features import FeatureLayout
from xaibench.core.registry import metric
from xaibench.metrics.engines.noisy_copies import largest
from xaibench.metrics.engines.perturbation import perturbation_blocks


@metric(
    "continuity",
    family="robustness",
    higher_is_better=False,
    bounds=(0, None),
    needs={"reexplain", "image", "volume", "series"},
    aggregate="median_log10",
    source="Montavon et al. 2018, Methods for interpreting and understanding deep neural networks, section 7.1",
    scale_invariant=False,
    place_matters=True,  # it moves the input along neighbouring places
)
def continuity(ev: Evaluation, *, steps: PositiveInt = 2, normalise: bool = False) -> Tensor:
    """Largest ratio of the explanation's change to the input's under small translations.

    ``max_x' ||phi(x) - phi(x')||_1 / ||x - x'||_2`` over the sample moved by 1 to ``steps`` pixels
    up, down, left and right, or by as many time steps back and forth; the border is repeated where
    it moved in. The maps are compared place by place, as published, not moved back. The ratio has the
    units of the explanation: explainers of different kinds compare with ``normalise`` only.

    Parameters
    ----------
    steps : int
        Largest translation, in pixels or time steps; every shorter one is there too.
    normalise : bool
        Divide by ``||phi(x)||_1``; all-zero maps are undefined then.

    Returns
    -------
    Tensor (N,)
        NaN where no translation changes the input.

    Raises
    ------
    UnsupportedError
        For tables and tokens, which have no neighbouring places.
    """
    moves = list(translations(ev.layout, steps))
    moved = torch.empty(len(ev), len(moves), dtype=torch.float64, device=ev.inputs.device)
    way = torch.empty_like(moved)
    for block in perturbation_blocks(ev, len(moves)):
        x, own = ev.inputs[block.rows], ev.attributions[block.rows].flatten(1).double().unsqueeze(1)
        copies = torch.stack([translate(x, *move) for move in moves[block.copies]], dim=1)
        maps = ev.explain(ExplainRequest(inputs=copies.flatten(0, 1), rows=block.index)).flatten(1).double()
        at = block.rows, block.copies
        moved[at] = (maps.view(block.n_samples, block.n_copies, -1) - own).abs().sum(dim=2)
        way[at] = torch.linalg.vector_norm((copies.double() - x.double().unsqueeze(1)).flatten(2), dim=2)
    if normalise:
        size = ev.attributions.flatten(1).double().abs().sum(dim=1, keepdim=True)
        moved = torch.where(size > 0, moved / size, torch.nan)
    return largest(moved / way, way > 0)


def translations(layout: FeatureLayout, steps: int) -> Iterator[tuple[int, int]]:
    """Axis of (N, *input_shape) and pixels along it, in both directions, for every translation."""
    if not layout.neighbour_axes:
        raise UnsupportedError(f"continuity moves images and series, not a {layout.kind}")
    for axis in layout.trailing_axes:
        for pixels in range(1, steps + 1):
            yield axis, pixels
            yield axis, -pixels


def translate(inputs: Tensor, axis: int, pixels: int) -> Tensor:
    """Inputs (N, *input_shape) moved towards higher places of an axis, the border repeated where it moved in."""
    side = inputs.shape[axis]
    source = (torch.arange(side, device=inputs.device) - pixels).clamp(0, side - 1)
    return inputs.index_select(axis, source)
