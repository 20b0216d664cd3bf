"""Quantus' metrics of localisation, as audited objects; see `xaibench.metrics.engines.quantus_calls`."""

from __future__ import annotations

from functools import partial

from xaibench.metrics.engines.quantus_calls import mask_size, quantus_metric

_quantus = partial(quantus_metric, module=__name__, family="ground_truth")

quantus_pointinggame = _quantus(
    "PointingGame",
    "Whether the largest attribution is inside the mask (Zhang et al. 2018).",
    higher_is_better=True,
    needs={"truth.mask"},
)
quantus_attributionlocalisation = _quantus(
    "AttributionLocalisation",
    "Share of the positive attributions inside the mask (Kohlbrenner et al. 2020).",
    higher_is_better=True,
    needs={"truth.mask"},
)
quantus_topkintersection = _quantus(
    "TopKIntersection",
    "Share of the top k features inside the mask; k is the size of the smallest mask (Theiner et al. 2021).",
    higher_is_better=True,
    needs={"truth.mask"},
    options=mask_size,
)
quantus_relevancerankaccuracy = _quantus(
    "RelevanceRankAccuracy",
    "Share of as many top features as the mask has inside it (Arras et al. 2021).",
    higher_is_better=True,
    needs={"truth.mask"},
)
quantus_relevancemassaccuracy = _quantus(
    "RelevanceMassAccuracy",
    "Share of the attributions inside the mask (Arras et al. 2021).",
    higher_is_better=True,
    needs={"truth.mask"},
)
quantus_auc = _quantus(
    "AUC",
    "Area under the ROC curve of the attributions against the mask (Fawcett 2006).",
    higher_is_better=True,
    needs={"truth.mask"},
)
