"""Completeness (Sundararajan et al. 2017): attributions must sum to the difference of outputs from the baseline."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import clean_scores, reference_scores

RESOLVED = 1e-2
"""Output differences below this share of the outputs are not known to the 1e-4 that scores promise, in float32."""
RESOLVED_VALUE = 1e-10
"""The same of values in float64."""


@metric(
    "completeness",
    family="axiomatic",
    higher_is_better=False,
    bounds=(0, None),
    aggregate="median_log10",
    source="Sundararajan et al. 2017, Axiomatic attribution for deep networks, proposition 1",
    scale_invariant=False,
    shares_evaluations=True,
    favours={"zero maps"},  # their sum is 0, so they are wrong by exactly the difference
)
def completeness(ev: Evaluation, *, baseline: str = "zero") -> Tensor:
    """Relative error of the claim that attributions sum to the output minus that of the baseline.

    ``|sum(phi) - (f(x) - f(b))| / |f(x) - f(b)|``. Attributions of every kind are summed as they
    are, since the claim is about these numbers; an explainer that starts from another baseline
    needs the same one here.

    Parameters
    ----------
    baseline : str
        Masker whose fully masked sample is b; one that draws gives explainers and this metric the same.

    Returns
    -------
    Tensor (N,)
        0 when the sum is exact, 1 for an all-zero map; NaN where f(x) and f(b) differ
        by less than a hundredth of the larger one, a difference that float32 does not know well enough; values in
        float64 are known much better.

    Raises
    ------
    UnsupportedError
        For ``marginal`` where columns form groups: removal then averages over several rows, and gradients start at one.
    """
    if baseline == "marginal" and not ev.layout.one_number_each and ev.layout.groups:
        raise UnsupportedError(
            "with groups of columns, explainers by removal average over several rows of the background, and those by"
            " gradients start at one of them: there is no one output that attributions have to sum to",
            "zero and mean are the same for all of them",
        )
    clean, masked = clean_scores(ev), reference_scores(ev, baseline)
    difference = clean.double() - masked.double()
    exact = ev.model.returns == "value" and clean.dtype == torch.float64
    defined = difference.abs() > (RESOLVED_VALUE if exact else RESOLVED) * torch.maximum(clean.abs(), masked.abs())
    error = (ev.attributions.flatten(1).double().sum(dim=1) - difference).abs() / difference.abs()
    return torch.where(defined, error, torch.nan)
