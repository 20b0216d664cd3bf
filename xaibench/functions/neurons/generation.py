"""Synthetic neurons over words, which fire for a concept, for one of two, or for two at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.draws import keyed_generator
from xaibench.core.program_registry import functions
from xaibench.core.programs.black_box import BlackBox, Domain, Values
from xaibench.core.types import Array
from xaibench.functions.neurons.concepts import MODES, ConceptMode, Expression, Vocabulary, vocabulary
from xaibench.functions.neurons.taxonomy import concept_distances

FIRING_THRESHOLD = 0.5
"""Answers above this are those of words that the neuron fires for."""
MISS = 0.2
"""Level from which on a word for which the neuron does not fire is a near miss."""
TEST_WORDS = 20
"""Test words on either side, at most."""
FEWEST_TEST, FEWEST_ASKED = 4, 6
"""Words that a neuron must fire for among those that are held out, and among those that may be asked for."""
FEWEST_NODES_APART = 4
"""Steps in the taxonomy between the concepts of a polysemantic neuron."""
TestSet = Literal["near", "random"]
ALIKE = 0.6
"""Share of the smaller one of two concepts that may lie in the other one."""


@dataclass(frozen=True, eq=False)
class Neuron:
    """Level of activity of words, with or without noise.

    Attributes
    ----------
    words : Vocabulary
    levels : array (n,)
        One for each word of the vocabulary.
    noise : float
        Largest noise, of either sign, which is a function of the word.
    key : str
    """

    words: Vocabulary
    levels: Array
    noise: float = 0.0
    key: str = ""

    def __call__(self, inputs: Values) -> Array:
        """Levels in [0, 1]; NaN for words outside of the vocabulary, whose meaning is unknown."""
        rows = self.words.rows([str(word) for word in inputs])
        found = np.where(rows < 0, np.nan, self.levels[rows])
        if self.noise:
            known = [self.words.words[row] if row >= 0 else "" for row in rows]
            found = np.clip(found + self.noise * (2 * _uniform(self.key, known) - 1), 0.0, 1.0)
        return found


def _uniform(key: str, words: Sequence[str]) -> Array:
    """A number from [0, 1) for each word, which depends on the key and the word only."""
    prefix = hashlib.blake2b(f"{key}\0".encode(), digest_size=8)
    found = bytearray()
    for word in words:
        h = prefix.copy()
        h.update(word.encode())
        found += h.digest()
    return (np.frombuffer(bytes(found), "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53


@functions("find_neuron", kind="neuron", unkeyed_defaults={"k", "test"})
def find_neuron(
    *,
    seed: int,
    n: PositiveInt = 24,
    mode: Literal["mixed", "single", "or", "and", "poly"] = "mixed",
    noise: Annotated[float, Ge(0), Le(0.09)] = 0.05,
    k: Annotated[int, Ge(2), Le(4)] = 2,
    test: TestSet = "near",
) -> tuple[BlackBox, ...]:
    """Neurons that answer a word with a level of activity, made of concepts.

    A concept is a kind of thing (139 nodes of WordNet) or a form of the word (8). A neuron fires for
    one kind of thing; for two of them, either being enough; or for a kind of thing that also is of
    another kind or has a form. Its level is 1 for members, up to .4 for their neighbours in the
    taxonomy, less for words farther away (`concepts.Vocabulary`), the larger of two levels for
    ``or`` and the smaller for ``and``, plus noise, within [0, 1].

    A third of the vocabulary, evenly over the taxonomy and the same words for all neurons of a set,
    is held out: not in the domain, and all test words are from there. Half of the test words fire;
    half of the others are near misses as far as there are any. Words of which a rarer sense would
    belong to the concept are in no test.

    Parameters
    ----------
    seed : int
    n : int
        FIND has 200. The first ones of a larger set are those of a smaller one.
    mode : {"mixed", "single", "or", "and", "poly"}
        ``mixed``: a third of each of the next three. ``poly``: for any of ``k`` kinds of things that have no word in
        common and are far apart in the taxonomy, at least four nodes.
    noise : float
        Bound of the uniform noise, a function of neuron and word. Below .1, so that noise takes no
        word across 0.5.
    k : int
        Concepts of a polysemantic neuron, from 2 to 4.
    test : {"near", "random"}
        Test words for which the neuron does not fire: half of them near misses, or all drawn at random. A
        description that is too broad is told from the right one by the former only; see docs/suites/scorers.md.

    Notes
    -----
    Words outside of the vocabulary get NaN. That a word is a member is decided by its frequent
    senses, those with at least a quarter of its occurrences in a tagged corpus.
    """
    words = vocabulary()
    held_out = _held_out(words, seed)
    pool = _Pool(words, held_out)
    order = keyed_generator(seed, "order", "find/neuron")
    start = int(order.integers(len(MODES)))
    singles: list[Expression] = []
    domain = Domain(words=tuple(word for word, held in zip(words.words, held_out, strict=True) if not held))
    made = []
    for i in range(n):
        name = f"find/neuron/{i:04d}"
        draws = keyed_generator(seed, f"find_neuron/{mode}", name)
        if mode == "poly":
            made.append(_polysemantic(name, pool, k, noise, f"{seed}/{mode}/{name}", domain, draws, test))
            continue
        chosen: ConceptMode = MODES[(start + i) % len(MODES)] if mode == "mixed" else mode
        if chosen == "single" and not singles:
            singles = [
                Expression("single", (c,)) for c in map(str, order.permutation(pool.meanings)) if pool.fits((c,))
            ]
        expression = singles.pop() if chosen == "single" else pool.pair(chosen, draws)
        levels = expression.levels(words)
        made.append(
            BlackBox(
                name,
                "neuron",
                Neuron(words, levels, noise, f"{seed}/{mode}/{name}"),
                Neuron(words, levels),
                domain,
                chosen,
                {"mode": chosen, "concepts": list(expression.concepts), "noise": noise},
                _description(expression, words),
                _test_words(expression, words, held_out, draws, test),
                noise="uniform" if noise else "none",
            )
        )
    return tuple(made)


def _description(expression: Expression, words: Vocabulary) -> str:
    known = [f"{name}: {words.definitions[name]}" for name in expression.concepts if name in words.definitions]
    return f"fires for {expression.text} ({'; '.join(known)})"


def _held_out(words: Vocabulary, seed: int) -> Array:
    """One of each three successive words of the taxonomy, (n,) of bool."""
    draws = keyed_generator(seed, "find_neuron/held out", "find/neuron")
    found = np.zeros(len(words.words), dtype=bool)
    first = np.arange(0, len(found), 3)
    found[words.order[np.minimum(first + draws.integers(3, size=len(first)), len(found) - 1)]] = True
    return found


class _Pool:
    """Concepts and pairs of them that enough words belong to."""

    def __init__(self, words: Vocabulary, held_out: Array) -> None:
        self.words = words
        self.held_out = held_out
        self.members = words.members
        self.meanings = [c for c in words.concepts if not words.is_form(c)]
        self.forms = [c for c in words.concepts if words.is_form(c)]

    def fits(self, concepts: tuple[str, ...], mode: ConceptMode = "single") -> bool:
        """Whether enough words are members, clear ones among those held out, and a pair says more than its parts."""
        expression = Expression(mode, concepts)
        fires = expression.levels(self.words) == 1
        tested = int((fires & self.held_out & ~expression.unclear(self.words)).sum())
        if tested < FEWEST_TEST or int((fires & ~self.held_out).sum()) < FEWEST_ASKED:
            return False
        if mode == "single":
            return True
        parts = [self.members[self.words.concepts.index(c)] for c in concepts]
        return int((parts[0] & parts[1]).sum()) <= ALIKE * min(int(p.sum()) for p in parts)

    def pair(self, mode: ConceptMode, draws: np.random.Generator) -> Expression:
        """Two kinds of things, or for ``and`` in three of four cases a kind and a form."""
        while True:
            first = str(draws.choice(self.meanings))
            others = self.forms if mode == "and" and draws.random() < 0.75 else self.meanings
            second = str(draws.choice(others))
            if first != second and self.fits((first, second), mode):
                return Expression(mode, (first, second))

    def numbers(self, expression: Expression) -> list[int]:
        """Numbers of the concepts of an expression."""
        return [self.words.concepts.index(c) for c in expression.concepts]

    def apart(self, k: int, draws: np.random.Generator) -> tuple[str, ...]:
        """k kinds of things without a word in common and at least four nodes apart in the taxonomy."""
        fitting = [c for c in self.meanings if self.fits((c,))]
        distances = concept_distances(tuple(fitting))
        members = self.members[[self.words.concepts.index(c) for c in fitting]].astype(np.int64)
        free = (distances >= FEWEST_NODES_APART) & (members @ members.T == 0)
        while True:
            chosen: list[int] = []
            open_ones = np.ones(len(fitting), dtype=bool)
            while len(chosen) < k and open_ones.any():
                chosen.append(int(draws.choice(np.flatnonzero(open_ones))))
                open_ones &= free[chosen[-1]]
            if len(chosen) == k:
                return tuple(fitting[i] for i in chosen)


def _polysemantic(
    name: str,
    pool: _Pool,
    k: int,
    noise: float,
    key: str,
    domain: Domain,
    draws: np.random.Generator,
    test: TestSet,
) -> BlackBox:
    """A neuron that fires for any of k kinds of things far apart."""
    words = pool.words
    expression = Expression("or", pool.apart(k, draws))
    levels = expression.levels(words)
    extents = [[words.words[w] for w in np.flatnonzero(row)] for row in words.members[pool.numbers(expression)]]
    return BlackBox(
        name,
        "neuron",
        Neuron(words, levels, noise, key),
        Neuron(words, levels),
        domain,
        "poly",
        {"mode": "poly", "concepts": list(expression.concepts), "noise": noise, "extents": extents},
        _description(expression, words),
        _test_words(expression, words, pool.held_out, draws, test),
        noise="uniform" if noise else "none",
    )


def _test_words(
    expression: Expression, words: Vocabulary, held_out: Array, draws: np.random.Generator, test: TestSet
) -> list[str]:
    """Held-out words in random order: as many that fire as others; from all parts of an ``or``, half near misses."""
    levels = expression.levels(words)
    usable = held_out & ~expression.unclear(words)
    fires = np.flatnonzero(usable & (levels == 1))
    active = list(draws.permutation(fires))
    if expression.mode == "or":
        active = _in_turn(active, [words.members[words.concepts.index(c)] for c in expression.concepts[:-1]])
    active = active[:TEST_WORDS]
    if test == "random":
        silent = list(draws.permutation(np.flatnonzero(usable & (levels < 1))))[: len(active)]
        return [words.words[w] for w in draws.permutation([*active, *silent])]
    near = draws.permutation(np.flatnonzero(usable & (levels < 1) & (levels >= MISS)))
    far = draws.permutation(np.flatnonzero(usable & (levels < MISS)))
    silent = _alternating(list(near), list(far))[: len(active)]
    return [words.words[w] for w in draws.permutation([*active, *silent])]


def _in_turn(active: list[int], parts: list[Array]) -> list[int]:
    """One word of each part after the other, and of those in none of them; then the rest of the longer ones."""
    groups: list[list[int]] = [[] for _ in range(len(parts) + 1)]
    for w in active:
        groups[next((i for i, part in enumerate(parts) if part[w]), len(parts))].append(w)
    if len(groups) == 2:
        return _alternating(*groups)
    return [group[i] for i in range(max(map(len, groups))) for group in groups if i < len(group)]


def _alternating(a: list[int], b: list[int]) -> list[int]:
    """One of a, one of b and so on, then the rest of the longer list."""
    k = min(len(a), len(b))
    return [x for pair in zip(a, b, strict=False) for x in pair] + a[k:] + b[k:]
