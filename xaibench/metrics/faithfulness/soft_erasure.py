"""Soft sufficiency and comprehensiveness: numbers of the inputs are dropped at random, by their attribution."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import Block, Perturbations, clean_scores, fully_masked_scores
from xaibench.metrics.maps.similarity import is_constant

_SOURCE = "Zhao & Aletras 2023, Incorporating attribution importance for improving faithfulness metrics"
LEAST_RANGE = 1e-3
"""Where all numbers at 0 lose less of the output than this, there is nothing that a score could be a share of."""


class _Losses(NamedTuple):
    """Mean loss of output (N,) with numbers dropped by their attribution, and the loss with all numbers at 0."""

    dropped: Tensor
    zero: Tensor


_soft_erasure = partial(
    metric,
    version=2,
    family="faithfulness",
    construct="removal",
    higher_is_better=True,
    bounds=(0, 1),
    output="curve",
    convert="order",
    undefined_for={"zero maps", "constant maps", "some inputs"},
    place_matters=True,  # the random numbers belong to places
)
"""Declares a metric that drops numbers of the inputs at random."""


@_soft_erasure("soft_sufficiency", source=f"{_SOURCE}, Eqs. 3 and 4 (Soft-NS)")
def soft_sufficiency(ev: Evaluation, *, n_samples: PositiveInt = 8) -> Tensor:
    """Share of the output that stays when every input number stays with the probability of its attribution.

    ``clip((S - S0) / (1 - S0), 0, 1)`` with ``S = mean of 1 - max(0, p - p')`` over draws: p is the output, p' that of
    a draw in which every number of a feature stays with probability a, the attribution scaled to [0, 1] within the
    sample, and S0 is S with all numbers at 0.

    Parameters
    ----------
    n_samples : int
        Draws; the same uniform numbers for all explainers.

    Returns
    -------
    Tensor (N,)
        NaN for a constant map, and where ``1 - S0`` is below 0.001.

    Raises
    ------
    UnsupportedError
        If inputs are token ids, or a feature is a category.
    """
    found = _losses(ev, n_samples, keep=True)
    return _defined(ev, found.zero, (found.zero - found.dropped) / found.zero)


@_soft_erasure("soft_comprehensiveness", source=f"{_SOURCE}, Eqs. 5 and 6 (Soft-NC)")
def soft_comprehensiveness(ev: Evaluation, *, n_samples: PositiveInt = 8) -> Tensor:
    """Share of the output that is lost when every input number goes with the probability of its attribution.

    ``clip(mean of max(0, p - p') / (1 - S0), 0, 1)`` as for `soft_sufficiency`, where every number stays with
    probability 1 - a.

    Parameters
    ----------
    n_samples : int
        Draws; the same uniform numbers for all explainers.

    Returns
    -------
    Tensor (N,)
        NaN for a constant map, and where ``1 - S0`` is below 0.001.

    Raises
    ------
    UnsupportedError
        If inputs are token ids, or a feature is a category.
    """
    found = _losses(ev, n_samples, keep=False)
    return _defined(ev, found.zero, found.dropped / found.zero)


def _losses(ev: Evaluation, n_samples: int, *, keep: bool) -> _Losses:
    ev.layout.require_quantities("dropping single numbers of inputs")
    ev.layout.require_no_categories("dropping single numbers of inputs")  # 0 is a category too
    flat = ev.attributions.flatten(1)
    low, high = flat.aminmax(dim=1, keepdim=True)
    share = ((flat - low) / (high - low)).nan_to_num(0.0).view_as(ev.attributions)
    stays = ev.layout.expand(share if keep else 1 - share)
    draws = Perturbations(n_samples, "soft_erasure", lambda block: block.draws.uniform(_shape(ev, block)))

    clean = clean_scores(ev)

    def losses(block: Block, uniform: Tensor) -> Tensor:
        kept = uniform < stays[block.rows].unsqueeze(1)
        copies = torch.where(kept, ev.inputs[block.rows].unsqueeze(1), 0.0)
        return (clean[block.index] - ev.scores(copies.flatten(0, 1), block.index)).clamp(min=0)

    zero = (clean - fully_masked_scores(ev, "zero")).clamp(min=0)
    return _Losses(draws.numbers(ev, losses).mean(dim=1), zero)


def _shape(ev: Evaluation, block: Block) -> tuple[int, ...]:
    return (block.n_copies, *ev.layout.input_shape)


def _defined(ev: Evaluation, rest: Tensor, scores: Tensor) -> Tensor:
    defined = (rest >= LEAST_RANGE) & ~is_constant(ev.attributions.flatten(1))
    return torch.where(defined, scores.clamp(0, 1), torch.nan)
