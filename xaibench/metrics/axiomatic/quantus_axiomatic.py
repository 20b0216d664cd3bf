"""Quantus' metrics of axioms, as audited objects; see `xaibench.metrics.engines.quantus_calls`."""

from __future__ import annotations

from functools import partial

from xaibench.metrics.engines.quantus_calls import quantus_metric

_quantus = partial(quantus_metric, module=__name__, family="axiomatic")

quantus_completeness = _quantus(
    "Completeness",
    "Whether attributions add up to the difference of outputs (Sundararajan et al. 2017).",
    higher_is_better=True,
)
quantus_nonsensitivity = _quantus(
    "NonSensitivity",
    "Number of features with an attribution and without an effect, or the reverse (Nguyen & Martinez 2020).",
    higher_is_better=False,
)
quantus_inputinvariance = _quantus(
    "InputInvariance",
    "Whether the map stays when inputs are shifted (Kindermans et al. 2019).",
    higher_is_better=True,
    needs={"reexplain"},
)
