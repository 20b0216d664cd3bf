"""Prediction gaps PGI and PGU (Agarwal et al. 2022; Dai et al. 2022): noise on important, or all other, features."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import Block, Perturbations, clean_scores
from xaibench.metrics.maps.orders import TopK, ranked, top_size

_PAPER = "Agarwal et al. 2022, OpenXAI: towards a transparent evaluation of model explanations"


@metric(
    "pgi",
    family="faithfulness",
    construct="removal",
    higher_is_better=True,
    bounds=(0, 1),
    output="curve",
    sign="absolute",
    source=f"{_PAPER}, prediction gap on important feature perturbation; Dai et al. 2022",
    place_matters=True,  # noise belongs to places
    in_output_unit=True,
)
def pgi(ev: Evaluation, *, k: TopK = 0.25, n_samples: PositiveInt = 100, radius: PositiveFloat = 0.1) -> Tensor:
    """Mean change of the output when the k most important features get noise: the more, the better.

    ``E|f(x) - f(x + noise on the top k)|``. Features are ordered by magnitude. Attributions of all
    kinds are used as given: what noise of one size does goes by the slope, not by the contribution.

    Parameters
    ----------
    k : int or float
        Number of features, or a share of them, rounded up.
    n_samples : int
        Noisy copies per sample; the noise is the same for all explainers.
    radius : float
        Standard deviation of the Gaussian noise, in input units.

    Returns
    -------
    Tensor (N,)
        For a linear model and its own output ``radius ||w_S||_2 sqrt(2 / pi)``, w_S being the
        weights of the perturbed features.

    Raises
    ------
    UsageError
        If there are fewer features than ``k``.
    """
    return _gap(ev, _top(ev, k), n_samples, radius)


@metric(
    "pgu",
    family="faithfulness",
    construct="removal",
    higher_is_better=False,
    bounds=(0, 1),
    output="curve",
    sign="absolute",
    source=f"{_PAPER}, prediction gap on unimportant feature perturbation; Dai et al. 2022",
    place_matters=True,  # noise belongs to places
    in_output_unit=True,
)
def pgu(ev: Evaluation, *, k: TopK = 0.25, n_samples: PositiveInt = 100, radius: PositiveFloat = 0.1) -> Tensor:
    """Mean change of the output when all but the k most important features get noise: the less, the better.

    The other half of `pgi`, with the same noise.

    Parameters
    ----------
    k : int or float
        Number of features that stay as they are, or a share of them, rounded up.
    n_samples : int
        Noisy copies per sample; the noise is the same for all explainers.
    radius : float
        Standard deviation of the Gaussian noise, in input units.

    Returns
    -------
    Tensor (N,)
        0 where ``k`` is all features.

    Raises
    ------
    UsageError
        If there are fewer features than ``k``.
    """
    return _gap(ev, ~_top(ev, k), n_samples, radius)


def _top(ev: Evaluation, k: TopK) -> Tensor:
    """Whether each feature is among the k of largest magnitude (N, F)."""
    order = ranked(ev, "absolute")
    first = order[:, : top_size(k, order.shape[1])]
    return torch.zeros_like(order, dtype=torch.bool).scatter_(1, first, True)


def _gap(ev: Evaluation, noisy: Tensor, n_samples: int, radius: float) -> Tensor:
    """Mean absolute change of the output (N,) when the features in ``noisy`` (N, F) get noise."""
    ev.layout.require_quantities("noise")
    size = radius * ev.layout.expand(noisy.view(-1, 1, *ev.layout.feature_shape).to(ev.inputs.dtype))

    def draw(block: Block) -> Tensor:
        return ev.layout.only_quantities(block.draws.normal((block.n_copies, *ev.layout.input_shape)), "noise")

    def evaluate(block: Block, drawn: Tensor) -> Tensor:
        noisy = (drawn * size[block.rows]).add_(ev.inputs[block.rows].unsqueeze(1)).flatten(0, 1)
        return ev.scores(noisy, block.index)

    found = Perturbations(n_samples, "prediction_gap", draw).numbers(ev, evaluate)
    return (found - clean_scores(ev).unsqueeze(1)).abs().mean(dim=1)
