"""Quantus' metrics of robustness, as audited objects; see `xaibench.metrics.engines.quantus_calls`."""

from __future__ import annotations

from functools import partial

from xaibench.metrics.engines.quantus_calls import quantus_metric

_quantus = partial(quantus_metric, module=__name__, family="robustness")

quantus_locallipschitzestimate = _quantus(
    "LocalLipschitzEstimate",
    "Largest change of the map over change of the input nearby (Alvarez-Melis & Jaakkola 2018).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_maxsensitivity = _quantus(
    "MaxSensitivity",
    "Largest change of the map under noise (Yeh et al. 2019).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_avgsensitivity = _quantus(
    "AvgSensitivity",
    "Mean change of the map under noise (Yeh et al. 2019).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_continuity = _quantus(
    "Continuity",
    "Change of the map while the image moves (Montavon et al. 2018).",
    higher_is_better=False,
    needs={"reexplain", "image"},
)
quantus_consistency = _quantus(
    "Consistency",
    "Share of samples with like maps that have the same prediction (Dasgupta et al. 2022).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_relativeinputstability = _quantus(
    "RelativeInputStability",
    "Largest relative change of the map over that of the input (Agarwal et al. 2022).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_relativeoutputstability = _quantus(
    "RelativeOutputStability",
    "Largest relative change of the map over that of the output (Agarwal et al. 2022).",
    higher_is_better=False,
    needs={"reexplain"},
)
quantus_relativerepresentationstability = _quantus(
    "RelativeRepresentationStability",
    "Largest relative change of the map over that of hidden layers (Agarwal et al. 2022).",
    higher_is_better=False,
    needs={"reexplain"},
)
