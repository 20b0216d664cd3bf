"""Quantus' metrics of randomisation, as audited objects; see `xaibench.metrics.engines.quantus_calls`."""

from __future__ import annotations

from functools import partial

from xaibench.metrics.engines.quantus_calls import quantus_metric

_quantus = partial(quantus_metric, module=__name__, family="sanity")

quantus_mprt = _quantus(
    "MPRT",
    "Correlation of the map with those of models with random layers (Adebayo et al. 2018).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_smoothmprt = _quantus(
    "SmoothMPRT",
    "Correlation of the map with those of models with random layers, under noise (Hedstroem et al. 2023).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_efficientmprt = _quantus(
    "EfficientMPRT",
    "Relative rise of the map's entropy when the model is made random (Hedstroem et al. 2023).",
    higher_is_better=True,
    needs={"reexplain"},
)
quantus_randomlogit = _quantus(
    "RandomLogit",
    "Similarity of the map to that of another class (Sixt et al. 2020).",
    higher_is_better=False,
    needs={"reexplain"},
)
