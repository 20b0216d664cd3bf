"""F-Fidelity (Zheng et al. 2025): fidelity under random removals that the model was trained to take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt, Lt, MinLen
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import curve_output
from xaibench.core.registry import metric
from xaibench.core.types import Array, Share
from xaibench.metrics.engines.gap_training import trained_with_gaps
from xaibench.metrics.engines.perturbation import Block, Perturbations
from xaibench.metrics.engines.removal import counts_of_shares
from xaibench.metrics.maps.orders import ranked, ranks_of

_Share = Annotated[float, Gt(0), Lt(1)]
Sizes = Annotated[tuple[_Share, ...], MinLen(1)]
_PAPER = "Zheng et al. 2025, F-Fidelity: a robust framework for faithfulness evaluation of explainable AI"
_fidelity = partial(
    metric,
    family="faithfulness",
    construct="f_fidelity",
    bounds=(-1, 1),
    needs={"retrain"},
    convert="order",
    place_matters=True,  # the random numbers belong to places
)
"""Declares a metric of the model that was trained with random removals."""


@_fidelity("f_fidelity_plus", higher_is_better=True, source=f"{_PAPER}, FFid+")
def f_fidelity_plus(
    ev: Evaluation,
    *,
    sizes: Sizes = (0.1, 0.3, 0.5, 0.7, 0.9),
    alpha: _Share = 0.5,
    beta: _Share = 0.1,
    n_samples: PositiveInt = 16,
    min_kept: Share = 0.9,
    max_lost: Share = 0.02,
) -> Tensor:
    """Mean loss of probability when features of the explanation are removed at random, mean over its sizes.

    The model that is asked was fitted again to rows of which a random share of the features, between 0 and ``beta``, is
    zero. Of the top features of each size every one is removed with probability ``min(alpha, beta / size)``, so that no
    more goes than the model was trained to take. Its scores are about another model than the board's: compare them with
    each other only.

    Parameters
    ----------
    sizes : tuple of float
        Shares of the features that are the explanation.
    alpha : float
        Largest probability of removal.
    beta : float
        Largest share of the features that is removed, on average, and in training.
    n_samples : int
        Draws per size; the same for all explainers.
    min_kept, max_lost : float
        Share of its accuracy that the model must keep on rows with gaps, and accuracy that training with them may cost.

    Returns
    -------
    Tensor (N,)

    Raises
    ------
    UnsupportedError
        If the model is not a classifier, cannot be fitted again, or is too weak after it.
    """
    return _losses(ev, sizes, "inside", alpha, beta, n_samples, min_kept, max_lost)


@_fidelity("f_fidelity_minus", higher_is_better=False, source=f"{_PAPER}, FFid-")
def f_fidelity_minus(
    ev: Evaluation,
    *,
    sizes: Sizes = (0.1, 0.3, 0.5, 0.7, 0.9),
    alpha: _Share = 0.5,
    beta: _Share = 0.1,
    n_samples: PositiveInt = 16,
    min_kept: Share = 0.9,
    max_lost: Share = 0.02,
) -> Tensor:
    """Mean loss of probability when features outside of the explanation are removed at random, mean over its sizes.

    As `f_fidelity_plus`, with the features outside of the top ones, each removed with probability
    ``min(alpha, beta / (1 - size))``. Low is good.

    Parameters
    ----------
    sizes, alpha, beta, n_samples, min_kept, max_lost
        As for `f_fidelity_plus`.

    Returns
    -------
    Tensor (N,)

    Raises
    ------
    UnsupportedError
        If the model is not a classifier, cannot be fitted again, or is too weak after it.
    """
    return _losses(ev, sizes, "outside", alpha, beta, n_samples, min_kept, max_lost)


def _losses(
    ev: Evaluation,
    sizes: Sizes,
    side: Literal["inside", "outside"],
    alpha: float,
    beta: float,
    n_samples: int,
    min_kept: float,
    max_lost: float,
) -> Tensor:
    shape, n_features = ev.layout.feature_shape, ev.layout.n_features

    def some(n: int, rng: np.random.Generator) -> Array:
        lost: Array = rng.random((n, n_features)) < beta * rng.random((n, 1))
        return lost.reshape(n, *shape)

    model = trained_with_gaps(ev, f"random share up to {beta}", some, min_kept=min_kept, max_lost=max_lost)
    asked = replace(ev, model=model)
    output = curve_output(model.returns)
    clean = asked.scores(ev.inputs, output=output)
    ranks = ranks_of(ranked(ev, "signed"))
    found = []
    for size, count in zip(sizes, counts_of_shares(n_features, sizes), strict=True):
        chosen = ranks < count if side == "inside" else ranks >= count
        probability = min(alpha, beta / (size if side == "inside" else 1 - size))

        def loss(block: Block, drawn: Tensor, chosen: Tensor = chosen, probability: float = probability) -> Tensor:
            keep = ~(chosen[block.rows].unsqueeze(1) & (drawn < probability))
            kept = ev.layout.expand(keep.flatten(0, 1).view(-1, *shape)).to(ev.inputs)
            copies = block.copies_of(ev.inputs) * kept
            return block.copies_of(clean) - asked.scores(copies, block.index, output=output)

        def draw(block: Block) -> Tensor:
            return block.draws.uniform((block.n_copies, n_features))

        found.append(Perturbations(n_samples, "f_fidelity", draw).numbers(ev, loss).mean(dim=1))
    return torch.stack(found).mean(dim=0)
