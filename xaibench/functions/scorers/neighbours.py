"""Cases of neighbouring descriptions: the concept of a neuron beside a broader, a narrower or a disjoint one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import PositiveInt

from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.program_registry import functions
from xaibench.core.types import Array
from xaibench.functions.neurons.concepts import Vocabulary, vocabulary
from xaibench.functions.neurons.taxonomy import broader_concepts, disjoint_concepts, narrower_concepts
from xaibench.functions.scorers.candidates import scorer_case

NeighbourRelation = Literal["broader", "narrower", "disjoint"]
TestWords = Literal["all", "balanced", "near"]
FEWEST_WORDS = 12
"""Words that a concept must hold to be a neuron here."""


@functions("neighbour_descriptions", kind="scorer")
def neighbour_descriptions(
    *,
    seed: int,
    n: PositiveInt = 200,
    relation: NeighbourRelation = "broader",
    words: TestWords = "all",
) -> tuple[Case, ...]:
    """A neuron that fires for a kind of thing, that description, and a neighbour of it in the taxonomy.

    Parameters
    ----------
    seed : int
    n : int
        Neurons, at most; there are 58 with a broader neighbour, 42 with a narrower one, 133 with a disjoint one.
    relation : {"broader", "narrower", "disjoint"}
        ``broader``: the smallest concept that holds all words of the neuron's and more. ``narrower``: the
        largest one within it that holds at least 8 words. ``disjoint``: one without a word in common,
        drawn at random.
    words : {"all", "balanced", "near"}
        Test words: all 2,963; as many for which the neuron does not fire as there are others, drawn at
        random; or the same with half of the silent ones from the smallest broader concept, as far as it has any.
    """
    known = vocabulary()
    made: list[Case] = []
    for c, neighbours in _neighbours(known, relation):
        name = f"neighbour/descriptions/{len(made):04d}"
        draws = keyed_generator(seed, f"neighbour_descriptions/{relation}/{words}", name)
        other = int(draws.choice(neighbours))
        made.append(_case(name, known, c, other, relation, words, draws))
        if len(made) == n:
            break
    return tuple(made)


def _case(
    name: str,
    known: Vocabulary,
    concept: int,
    other: int,
    relation: NeighbourRelation,
    words: TestWords,
    draws: np.random.Generator,
) -> Case:
    members = known.members
    rows = np.arange(len(known.words)) if words == "all" else _test_rows(known, concept, draws, near=words == "near")
    mine, theirs = known.concepts[concept], known.concepts[other]
    return scorer_case(
        name,
        members[concept][rows],
        [(relation, members[other][rows])],
        draws,
        parameters={"concept": mine, "other": theirs, "words": len(rows)},
        description=f"fires for words that name {mine}; the other description is {theirs} ({relation})",
    )


def _test_rows(known: Vocabulary, concept: int, draws: np.random.Generator, *, near: bool) -> Array:
    """Numbers of all words for which a concept fires, and of as many others."""
    fires = known.members[concept]
    k = int(min(fires.sum(), (~fires).sum()))
    silent: list[int] = []
    if near:
        broader = broader_concepts(known, concept)
        inside = np.flatnonzero(known.members[broader[0]] & ~fires) if len(broader) else np.zeros(0, dtype=int)
        silent = draws.permutation(inside)[: k // 2].tolist()
    rest = np.setdiff1d(np.flatnonzero(~fires), silent)
    silent += draws.permutation(rest)[: k - len(silent)].tolist()
    return np.concatenate([np.flatnonzero(fires), np.array(silent, dtype=np.int64)])


def _neighbours(known: Vocabulary, relation: NeighbourRelation) -> list[tuple[int, Array]]:
    """Concepts with their neighbours of a relation, one of which is drawn."""
    sizes = known.members.sum(axis=1)
    concepts = [c for c, name in enumerate(known.concepts) if not known.is_form(name) and sizes[c] >= FEWEST_WORDS]
    find = {"broader": broader_concepts, "narrower": narrower_concepts, "disjoint": disjoint_concepts}[relation]
    nearest = slice(None) if relation == "disjoint" else slice(1)
    return [(c, found) for c in concepts if len(found := find(known, c)[nearest])]
