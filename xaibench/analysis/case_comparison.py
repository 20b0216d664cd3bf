"""A case and an answer about it, side by side: units by their true score, true directions by their nearest ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import rankdata

from xaibench.core.cases.answers import CaseAnswer, Dictionary, Scores
from xaibench.core.cases.case import Case
from xaibench.core.types import Array


@dataclass(frozen=True)
class UnitComparison:
    """Units of one question of a case, the truly largest first.

    Attributes
    ----------
    names : list of str
    truth, answer : list of float
        NaN where the answer has no opinion. Of a dictionary: 1, and the largest |cosine| with a direction.
    place : list of int
        Place of each unit by the answer, 1 for the largest; those without an opinion come last.
    """

    names: list[str]
    truth: list[float]
    answer: list[float]
    place: list[int]


def compare_units(case: Case, answer: CaseAnswer, question: int = 0) -> UnitComparison:
    """Put the true scores of a case beside those of an answer.

    Parameters
    ----------
    case : Case
    answer : Scores or Dictionary
        Of the case's type and shape.
    question : int
        Which one, where the case asks several.
    """
    if isinstance(answer, Dictionary):
        return _compare_directions(case, answer)
    assert isinstance(case.truth, Scores)
    truth, found = (a.values[question] if a.values.ndim == 2 else a.values for a in (case.truth, answer))
    return _sorted(list(case.units), truth.double().numpy(), found.double().numpy())


def _compare_directions(case: Case, answer: Dictionary) -> UnitComparison:
    assert isinstance(case.truth, Dictionary)
    true, found = (torch.nn.functional.normalize(d.directions.double(), dim=1) for d in (case.truth, answer))
    nearest = (true @ found.T).abs().amax(dim=1).numpy()
    names = list(case.units) or [f"direction {i}" for i in range(len(true))]
    return _sorted(names, (nearest * 0) + 1.0, nearest)


def _sorted(names: list[str], truth: Array, answer: Array) -> UnitComparison:
    filled = torch.nan_to_num(torch.from_numpy(answer.copy()), nan=-torch.inf).numpy()
    place = rankdata(-filled, method="min").astype(int)
    order = sorted(range(len(names)), key=lambda i: (-truth[i], i))
    return UnitComparison(
        [names[i] for i in order],
        [float(truth[i]) for i in order],
        [float(answer[i]) for i in order],
        [int(place[i]) for i in order],
    )
