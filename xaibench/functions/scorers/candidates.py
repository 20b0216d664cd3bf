"""A neuron with candidate descriptions, of which one is the neuron itself: what every case of the kind is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.types import Array

RELATIONS = ("true", "missing", "extra", "broader", "narrower", "disjoint")
"""What a candidate is to the neuron; a case stores the place in this list."""


@dataclass(frozen=True)
class Candidates:
    """What a score of descriptions may see.

    Attributes
    ----------
    activation : Tensor (n,) of bool
        Whether the neuron is active at each input.
    candidates : Tensor (J, n) of bool
        Whether each description holds there.
    """

    activation: Tensor
    candidates: Tensor


def scorer_case(
    name: str,
    activation: Array,
    others: Sequence[tuple[str, Array]],
    draws: np.random.Generator,
    *,
    parameters: Mapping[str, Any],
    description: str,
) -> Case:
    """A case whose true description stands at a random place among others.

    Parameters
    ----------
    name : str
    activation : array (n,) of bool
    others : sequence of (relation, array (n,) of bool)
    draws : Generator
        Of the place of each candidate.
    parameters : mapping
    description : str
    """
    relations = np.array([RELATIONS.index(r) for r in ("true", *(relation for relation, _ in others))])
    rows = np.stack([activation, *(row for _, row in others)])
    order = draws.permutation(len(rows))
    relation = torch.from_numpy(relations[order])
    return Case(
        name,
        "scorer",
        Candidates(torch.from_numpy(activation.copy()), torch.from_numpy(rows[order])),
        Scores((relation == 0).double(), facts={"range": 1.0}),
        {"relation": relation},
        units=tuple(f"candidate {i}" for i in range(len(rows))),
        parameters=parameters,
        description=description,
    )
