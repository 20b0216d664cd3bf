"""Parts made neutral (after FunnyBirds, Hesse et al. 2023): does what an explanation calls important decide?"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Annotated

import torch
from annotated_types import Ge, Lt, MinLen
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import require_classes
from xaibench.core.registry import metric
from xaibench.metrics.engines.perturbation import clean_raw, clean_scores, select
from xaibench.metrics.maps.similarity import spearman

NEUTRAL_PART = "input_pair.neutral_part"
IRRELEVANT = 0.05
"""Share of the output by which a part must lower it to count as relevant."""
Threshold = Annotated[float, Ge(0), Lt(1)]
SHARE_THRESHOLDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)

_protocol = partial(
    metric,
    family="ground_truth",
    construct="part_protocol",
    higher_is_better=True,
    needs={NEUTRAL_PART},
    source="Hesse et al. 2023, FunnyBirds: a synthetic vision dataset for a part-based analysis of explainable AI",
)
"""Declares a metric of the construct ``part_protocol``."""


@_protocol(
    "part_correlation",
    bounds=(-1, 1),
    undefined_for={"zero maps"},
    shares_evaluations=True,
)
def part_correlation(ev: Evaluation) -> Tensor:
    """Rank correlation, over parts, of the sum of a map over a part and the fall of the output without it.

    FunnyBirds' single deletion, which is half of this plus one half. Without a part means: with the part made neutral,
    as the data set draws it.

    Returns
    -------
    Tensor (N,)
        Spearman's correlation. NaN where all parts have equal sums, or change the output alike.
    """
    return spearman(importance(ev), part_effects(ev))


@_protocol(
    "part_deletion",
    bounds=(0, 1),
    undefined_for={"zero maps", "some inputs"},
    favours={"constant maps"},  # sums over parts call large parts important, and these often matter
    shares_evaluations=True,
)
def part_deletion(ev: Evaluation, *, threshold: Threshold = 0.25) -> Tensor:
    """Whether another class is predicted as soon as the parts that are called important are neutral: 1 or 0.

    Important is a part with more than ``threshold`` of the positive sums of the map over parts.

    Parameters
    ----------
    threshold : float

    Returns
    -------
    Tensor (N,)
        NaN where no part has a positive sum.
    """
    return _where_any(ev, ~_keeps_class(ev, _important(ev, threshold)))


@_protocol(
    "part_preservation",
    bounds=(0, 1),
    undefined_for={"zero maps", "some inputs"},
    favours={"constant maps"},  # sums over parts call large parts important, and these often matter
    shares_evaluations=True,
)
def part_preservation(ev: Evaluation, *, threshold: Threshold = 0.25) -> Tensor:
    """Whether the same class is predicted when all parts but those that are called important are neutral: 1 or 0.

    Parameters
    ----------
    threshold : float
        As for `part_deletion`.

    Returns
    -------
    Tensor (N,)
        NaN where no part has a positive sum.
    """
    return _where_any(ev, _keeps_class(ev, ~_important(ev, threshold)))


@_protocol("part_distractibility", bounds=(0, 1), undefined_for={"zero maps", "some inputs"}, shares_evaluations=True)
def part_distractibility(ev: Evaluation, *, threshold: Threshold = 0.25) -> Tensor:
    """One minus the share of irrelevant parts that are called important; 1 is not distracted at all.

    Irrelevant is a part without which the output falls by less than a twentieth of its size, or rises.

    Parameters
    ----------
    threshold : float
        As for `part_deletion`.

    Returns
    -------
    Tensor (N,)
        NaN where no part has a positive sum, and where every part is relevant.
    """
    irrelevant = part_effects(ev) < IRRELEVANT * clean_scores(ev).double().abs().unsqueeze(1)
    called = (irrelevant & _important(ev, threshold)).sum(dim=1)
    return _where_any(ev, 1 - called / irrelevant.sum(dim=1))


@_protocol(
    "part_completeness",
    bounds=(0, 1),
    scope="dataset",
    undefined_for={"zero maps"},
    shares_evaluations=True,
)
def part_completeness(
    ev: Evaluation, *, thresholds: Annotated[tuple[Threshold, ...], MinLen(1)] = SHARE_THRESHOLDS
) -> Tensor:
    """Mean of distractibility and of the mean of deletion and preservation, with the best threshold of a grid.

    The threshold is chosen on one half of the samples and scored on the other, and the other way round, and the score
    is the mean of both: FunnyBirds chooses and scores on the same images.

    Parameters
    ----------
    thresholds : tuple of float

    Returns
    -------
    Tensor (1,)
        NaN where one of the halves has no sample with a score.
    """
    table = torch.stack([_complete(ev, threshold) for threshold in thresholds])
    halves = [table[:, start::2] for start in (0, 1)]
    means = [half.nanmean(dim=1) if half.shape[1] else table.new_full((len(table),), torch.nan) for half in halves]
    found = []
    for chosen, scored in ((1, 0), (0, 1)):
        order = means[chosen].nan_to_num(-1.0)
        best = int(order.argmax())
        found.append(torch.where(order[best] < 0, torch.nan, means[scored][best]))
    return torch.stack(found).mean().unsqueeze(0)


def importance(ev: Evaluation) -> Tensor:
    """Sums of the map over parts (N, P), float64."""
    flat = ev.attributions.flatten(1).double()
    return torch.stack([(flat * mask.flatten(1)).sum(dim=1) for mask in part_masks(ev)], dim=1)


def part_masks(ev: Evaluation) -> list[Tensor]:
    """The pixels of every part (N, *feature_shape) of bool, in the order of the data set.

    Raises
    ------
    UnsupportedError
        If a pair has no other inputs, or does not say which features are the part.
    """
    found = []
    for pair in ev.pairs[NEUTRAL_PART]:
        if pair.inputs is None or pair.truth is None or pair.truth.mask is None:
            raise UnsupportedError("a neutral part has other inputs and a mask, and one of them is missing")
        found.append(pair.truth.mask.to(ev.inputs.device))
    return found


def subsets(n_parts: int) -> list[tuple[bool, ...]]:
    """All choices of neutral parts, in the order of their binary numbers; the first part counts most."""
    return list(product((False, True), repeat=n_parts))


def outputs_of_subsets(ev: Evaluation) -> Tensor:
    """Raw outputs (N, 2^P, C) with every choice of parts neutral; once for all explainers.

    Parts have no pixel in common, so an image with several neutral parts has the pixels of the images with one each.
    """

    def evaluate() -> dict[str, Tensor]:
        masks = [ev.layout.expand(mask.to(ev.inputs.dtype)).bool() for mask in part_masks(ev)]
        outputs = []
        for choice in subsets(len(masks)):
            inputs = ev.inputs
            for neutral, mask, pair in zip(choice, masks, ev.pairs[NEUTRAL_PART], strict=True):
                assert pair.inputs is not None
                inputs = torch.where(mask, pair.inputs.to(inputs), inputs) if neutral else inputs
            outputs.append(ev.predict(inputs) if any(choice) else clean_raw(ev))
        return {"raw": torch.stack(outputs, dim=1)}

    return ev.shared.get(("neutral parts",), evaluate)["raw"].to(ev.inputs.device)


def part_effects(ev: Evaluation) -> Tensor:
    """How much the explained output falls when one part is neutral (N, P), float64."""
    n_parts = len(ev.pairs[NEUTRAL_PART])
    scores = select(ev, outputs_of_subsets(ev)).double()
    single = [2 ** (n_parts - 1 - part) for part in range(n_parts)]
    return clean_scores(ev).double().unsqueeze(1) - scores[:, single]


def _complete(ev: Evaluation, threshold: float) -> Tensor:
    """Completeness of every sample (N,) at a threshold; without irrelevant parts nothing distracts."""
    decides = (part_deletion(ev, threshold=threshold) + part_preservation(ev, threshold=threshold)) / 2
    apart = part_distractibility(ev, threshold=threshold)
    return (decides + torch.where(apart.isnan(), 1.0, apart)) / 2


def _important(ev: Evaluation, threshold: float) -> Tensor:
    """Parts with more than this share of the positive sums (N, P) of bool."""
    positive = importance(ev).clamp(min=0)
    return positive > threshold * positive.sum(dim=1, keepdim=True)


def _where_any(ev: Evaluation, values: Tensor) -> Tensor:
    """Values (N,) in float64, NaN where no part has a positive sum."""
    return torch.where((importance(ev) > 0).any(dim=1), values.double(), torch.nan)


def _keeps_class(ev: Evaluation, neutral: Tensor) -> Tensor:
    """Whether the class that is predicted for the sample stays with these parts (N, P) neutral (N,)."""
    require_classes(ev.model.returns, "the part protocol asks which class is predicted")
    n_parts = neutral.shape[1]
    weights = 2 ** torch.arange(n_parts - 1, -1, -1, device=neutral.device)
    number = (neutral * weights).sum(dim=1)
    predicted = outputs_of_subsets(ev).argmax(dim=2)
    return predicted.gather(1, number.unsqueeze(1)).squeeze(1) == predicted[:, 0]
