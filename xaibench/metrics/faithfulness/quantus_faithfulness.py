"""Quantus' metrics of faithfulness, as audited objects; see `xaibench.metrics.engines.quantus_calls`."""

from __future__ import annotations

from functools import partial

from xaibench.metrics.engines.quantus_calls import every_score, quantus_metric

_quantus = partial(quantus_metric, module=__name__, family="faithfulness")

quantus_faithfulnesscorrelation = _quantus(
    "FaithfulnessCorrelation",
    "Correlation of summed attributions with the output lost by random subsets (Bhatt et al. 2020).",
    higher_is_better=True,
    options=every_score,
)
quantus_faithfulnessestimate = _quantus(
    "FaithfulnessEstimate",
    "Correlation of attributions with the output lost without each feature (Alvarez-Melis & Jaakkola 2018).",
    higher_is_better=True,
)
quantus_monotonicitycorrelation = _quantus(
    "MonotonicityCorrelation",
    "Rank correlation of attributions with the uncertainty without each feature (Nguyen & Martinez 2020).",
    higher_is_better=True,
)
quantus_monotonicity = _quantus(
    "Monotonicity",
    "Whether the output grows as features are added in the order of the map (Arya et al. 2019).",
    higher_is_better=True,
)
quantus_pixelflipping = _quantus(
    "PixelFlipping",
    "Mean output while features are removed in the order of the map (Bach et al. 2015).",
    higher_is_better=False,
)
quantus_regionperturbation = _quantus(
    "RegionPerturbation",
    "Mean output lost while regions are redrawn in the order of the map (Samek et al. 2015).",
    higher_is_better=False,
    needs={"image"},
)
quantus_selectivity = _quantus(
    "Selectivity",
    "Mean output while segments are removed in the order of the map (Montavon et al. 2018).",
    higher_is_better=False,
    needs={"image"},
)
quantus_sensitivityn = _quantus(
    "SensitivityN",
    "Correlation of summed attributions with output lost, for subsets of growing size (Ancona et al. 2018).",
    higher_is_better=True,
    scope="dataset",
)
quantus_irof = _quantus(
    "IROF",
    "Area over the curve while segments are removed in the order of the map (Rieger & Hansen 2020).",
    higher_is_better=True,
    needs={"image"},
)
quantus_infidelity = _quantus(
    "Infidelity",
    "Squared error of attributions for perturbations of the input (Yeh et al. 2019).",
    higher_is_better=False,
    needs={"image"},
)
quantus_road = _quantus(
    "ROAD",
    "Mean accuracy while features are imputed in the order of the map (Rong et al. 2022).",
    higher_is_better=False,
    needs={"image"},
    scope="dataset",
)
quantus_sufficiency = _quantus(
    "Sufficiency",
    "Share of samples with like maps that have the same prediction (Dasgupta et al. 2022).",
    higher_is_better=True,
)
