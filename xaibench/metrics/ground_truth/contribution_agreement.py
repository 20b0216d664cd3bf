"""Agreement with the exact contributions of an additive model against a stated baseline."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from xaibench.core.additive import TruthBaseline
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.maps.similarity import spearman

_known_contributions = partial(
    metric,
    family="ground_truth",
    construct="known_contributions",
    needs={"truth.contributions"},
    source="xaibench; Shapley values of sums of terms, Lundberg & Lee 2017, equation 4",
)
"""Declares a metric of the construct ``known_contributions``."""


@_known_contributions(
    "contribution_error",
    higher_is_better=False,
    bounds=(0, None),
    scale_invariant=False,
    favours={"zero maps", "constant maps"},
)
def contribution_error(ev: Evaluation, *, baseline: TruthBaseline = "zero") -> Tensor:
    """Largest error of an attribution, relative to the largest true contribution of the sample.

    Attributions of every kind are compared as they are, since the truth is about these numbers. An explainer that
    starts from another baseline answers another question, and has an error here although it is not wrong: give both
    the same. `tabular_lime` describes the surroundings of the row and has no baseline; its error is shown for
    comparison only.

    Parameters
    ----------
    baseline : {"zero", "mean", "marginal"}
        What contributions are counted from: zero, the mean of the background, or the mean over its rows.

    Returns
    -------
    Tensor (N,)
        0 for the exact contributions, 1 for an all-zero map. NaN where all contributions are 0.
    """
    truth = true_contributions(ev, baseline)
    largest = truth.abs().amax(dim=1)
    error = (ev.attributions.flatten(1).double() - truth).abs().amax(dim=1)
    return torch.where(largest > 0, error / largest, torch.nan)


@_known_contributions(
    "contribution_rank_correlation",
    higher_is_better=True,
    bounds=(-1, 1),
    sign="absolute",
    undefined_for={"zero maps", "constant maps"},
)
def contribution_rank_correlation(ev: Evaluation, *, baseline: TruthBaseline = "zero") -> Tensor:
    """Spearman correlation of the sizes of attributions and true contributions, over all features.

    Parameters
    ----------
    baseline : {"zero", "mean", "marginal"}
        See `contribution_error`.

    Returns
    -------
    Tensor (N,)
        NaN where the sizes of the attributions or of the contributions are all equal.
    """
    return spearman(ev.attributions.flatten(1).abs(), true_contributions(ev, baseline).abs().to(ev.attributions))


def true_contributions(ev: Evaluation, baseline: TruthBaseline) -> Tensor:
    """The true contributions (N, F) against a baseline, float64."""
    assert ev.truth is not None
    assert ev.truth.contributions is not None
    return ev.truth.contributions[baseline].to(ev.attributions.device).double().flatten(1)
