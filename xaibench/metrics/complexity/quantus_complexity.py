"""Quantus' metrics of complexity, as audited objects; see `xaibench.metrics.engines.quantus_calls`."""

from __future__ import annotations

from functools import partial

from xaibench.metrics.engines.quantus_calls import quantus_metric

_quantus = partial(quantus_metric, module=__name__, family="complexity")

quantus_sparseness = _quantus(
    "Sparseness",
    "Gini index of the magnitudes (Chalasani et al. 2020).",
    higher_is_better=True,
)
quantus_complexity = _quantus(
    "Complexity",
    "Entropy of the shares of the magnitudes (Bhatt et al. 2020).",
    higher_is_better=False,
)
quantus_effectivecomplexity = _quantus(
    "EffectiveComplexity",
    "Number of attributions above a threshold (Nguyen & Martinez 2020).",
    higher_is_better=False,
)
