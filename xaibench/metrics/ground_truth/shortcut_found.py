"""Whether an explanation shows a planted shortcut first, on the rows that the shortcut decides."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.outputs import has_classes
from xaibench.core.registry import metric
from xaibench.metrics.engines.pairs import only_pair, pair_raw
from xaibench.metrics.engines.perturbation import clean_raw
from xaibench.metrics.maps.masks import nontrivial_masks, true_mask
from xaibench.metrics.maps.units import ranked_units

KEPT = 7 / 8
"""Share of the replacements of everything else under which a decision must stay, at full level."""
_SWAPPED, _ABSENT, _EXCHANGED = "input_pair.swapped", "input_pair.absent", "input_pair.exchanged"


@metric(
    "shortcut_found",
    family="ground_truth",
    construct="planted_shortcut",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask", _SWAPPED, _ABSENT, _EXCHANGED},
    sign="absolute",
    source="xaibench certify; Adebayo et al. 2020, Debugging tests for model explanations, spurious correlation",
    ranks={"rows": "decisive"},
    undefined_for={"some inputs"},
    place_matters=True,
    shares_evaluations=True,
)
def shortcut_found(ev: Evaluation, *, rows: Literal["decisive", "all"] = "decisive", k: PositiveInt = 1) -> Tensor:
    """Whether the planted shortcut is the largest unit of an explanation, where the shortcut decides: 1 or 0.

    A row is decided by the shortcut if its other version makes the model decide otherwise, and so does its absence; at
    full level also if 7 of 8 random replacements of everything else leave the decision as it is. In other rows the
    natural features say the same, and sharing the credit is no fault.

    Units are features, windows of an image as large as the planted square, stretches of a series. Of a shortcut of
    several features the score is the share of them that is found. Below full level the shortcut need not be the largest
    contribution: this measures whether it is noticed, not whether the map is right.

    Parameters
    ----------
    rows : {"decisive", "all"}
        Score all rows for a comparison with the null twin, which no row decides.
    k : int
        The shortcut is found among the k largest units.

    Returns
    -------
    Tensor (N,)
        A random order scores about the share of the units that are true. NaN in rows that the shortcut does not
        decide, and where the truth is empty or everything.
    """
    units, mask = ranked_units(ev), true_mask(ev)
    places = torch.arange(units.hits.shape[1], device=units.hits.device)
    top = places < (k * units.n_true).unsqueeze(1)
    hits = (units.hits & top).sum(dim=1)
    found = torch.minimum(hits, units.n_true).double() / units.n_true.clamp(min=1)
    defined = nontrivial_masks(mask)
    if rows == "decisive":
        defined = defined & decisive_rows(ev)
    return torch.where(defined, found, torch.nan)


def decisive_rows(ev: Evaluation) -> Tensor:
    """Rows (N,) that the shortcut decides; see `shortcut_found`.

    Values are decided if the other version moves them by more than their standard deviation over the reference rows,
    and absence by more than half of it.
    """
    pairs = only_pair(ev, _SWAPPED), only_pair(ev, _ABSENT)
    own = clean_raw(ev)
    swapped, absent = (pair_raw(ev, pair, f"{need}/0") for pair, need in zip(pairs, (_SWAPPED, _ABSENT), strict=True))
    others = [pair_raw(ev, pair, f"{_EXCHANGED}/{i}") for i, pair in enumerate(ev.pairs[_EXCHANGED])]
    full = (pairs[0].level or 0.0) >= 1
    if not has_classes(ev.model.returns):
        column = ev.targets.unsqueeze(1)
        values, other, without = (raw.gather(1, column).squeeze(1) for raw in (own, swapped, absent))
        unit = _unit(ev, values)
        decided = ((values - other).abs() > unit) & ((values - without).abs() > unit / 2)
        return decided & torch.isfinite(values)
    said = own.argmax(dim=1)
    decided = (swapped.argmax(dim=1) != said) & (absent.argmax(dim=1) != said)
    if full:
        same = torch.stack([raw.argmax(dim=1) == said for raw in others]).double().mean(dim=0)
        decided = decided & (same >= KEPT - 1e-9)
    return decided


def _unit(ev: Evaluation, values: Tensor) -> Tensor:
    """Standard deviation of the explained value over the reference rows, else over the samples."""
    if ev.background is None:
        return values.std()
    raw = ev.predict_background()
    return raw[:, : int(ev.targets.max()) + 1].std(dim=0)[ev.targets]


@metric(
    "shortcut_rank",
    family="ground_truth",
    construct="planted_shortcut",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    sign="absolute",
    source="xaibench certify",
    ranks=False,
    place_matters=True,
)
def shortcut_rank(ev: Evaluation) -> Tensor:
    """Share of the other units that are smaller than the best unit of a planted shortcut: 1 is first, 0 last.

    Compared with the null twin this tells whether an explanation responds to the shortcut at all, even where it is not
    first. Any exact method does so at any reliance above 0, so nothing is ranked by it.

    Returns
    -------
    Tensor (N,)
        NaN where the truth is empty or everything.
    """
    units, mask = ranked_units(ev), true_mask(ev)
    first = units.hits.double().argmax(dim=1)
    n_others = (units.n_units - 1).clamp(min=1)
    return torch.where(nontrivial_masks(mask), 1 - first / n_others, torch.nan)
