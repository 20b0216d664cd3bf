"""Words, and the concepts that they belong to: by meaning, from a taxonomy, and by form, from their letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.cards import read_shipped

ConceptMode = Literal["single", "or", "and"]
MODES: tuple[ConceptMode, ...] = ("single", "or", "and")
NEAR = 0.4
"""Bound of the level of words that are no members."""
FORM_LEVEL = 0.2
"""Level of words that lack a form."""
_VOWELS = frozenset("aeiou")
FORMS: Mapping[str, Callable[[str], bool]] = {
    "have at most five letters": lambda w: len(w) <= 5,
    "have at least eight letters": lambda w: len(w) >= 8,
    "begin with a vowel": lambda w: w[0] in _VOWELS,
    "end with a vowel": lambda w: w[-1] in _VOWELS,
    "have a double letter": lambda w: any(a == b for a, b in pairwise(w)),
    "contain an o": lambda w: "o" in w,
    "contain an r": lambda w: "r" in w,
    "contain an s": lambda w: "s" in w,
}
"""What a word may look like; y is no vowel here."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words and concepts.

    Attributes
    ----------
    words : tuple of str, n
    concepts : tuple of str, c
        Names: first those of meaning, then those of form.
    definitions : mapping of str to str
        WordNet's, of the concepts of meaning.
    levels : array (c, n)
        1 for members of a concept. For other words, by meaning, 0.4 times the information content of
        the narrowest node that holds both, over that of the concept (after Resnik 1995; the content of
        a node that holds a share p of the words is -log p); by form, 0.2.
    unclear : array (c, n) of bool
        Words that are no members, and have a rarer sense that would be one.
    nodes : array (n, k) of bool
        Nodes of the taxonomy that hold each word.
    order : array (n,)
        Numbers of the words, neighbours in the taxonomy together.
    """

    words: tuple[str, ...]
    concepts: tuple[str, ...]
    definitions: Mapping[str, str]
    levels: Array
    unclear: Array
    nodes: Array
    order: Array

    @property
    def members(self) -> Array:
        """Whether each word belongs to each concept, (c, n)."""
        return np.asarray(self.levels == 1)

    def rows(self, words: Sequence[str]) -> Array:
        """Numbers of words (m,), -1 for those that are not here; case and blanks around them do not count."""
        index = _index(self)
        return np.array([index.get(word.strip().lower(), -1) for word in words], dtype=np.int64)

    def is_form(self, concept: str) -> bool:
        """Whether a concept is about letters."""
        return concept in FORMS


@dataclass(frozen=True)
class Expression:
    """A concept, two of which one is enough, or two that must both be there.

    Attributes
    ----------
    mode : {"single", "or", "and"}
    concepts : tuple of str
    """

    mode: ConceptMode
    concepts: tuple[str, ...]

    def levels(self, vocabulary: Vocabulary) -> Array:
        """Level of every word (n,): the larger one of two for ``or``, the smaller one for ``and``."""
        parts = vocabulary.levels[[vocabulary.concepts.index(name) for name in self.concepts]]
        return np.asarray(parts.max(axis=0) if self.mode == "or" else parts.min(axis=0))

    def unclear(self, vocabulary: Vocabulary) -> Array:
        """Whether a rarer sense of a word would belong to one of the concepts, (n,)."""
        return np.asarray(vocabulary.unclear[[vocabulary.concepts.index(name) for name in self.concepts]].any(axis=0))

    @property
    def text(self) -> str:
        """Words in which it is said."""
        said = [name if name in FORMS else f"name {name}" for name in self.concepts]
        return f"words that {(' or ' if self.mode == 'or' else ' and ').join(said)}"


def vocabulary() -> Vocabulary:
    """The words that are shipped, 2,963 nouns, with 139 concepts of meaning and 8 of form.

    Raises
    ------
    DataError
        If the files are missing or damaged.
    """
    return _parsed(read_shipped("find_words", "nodes.tsv"), read_shipped("find_words", "words.tsv"))


@cache
def _parsed(node_table: bytes, word_table: bytes) -> Vocabulary:
    nodes, lines = (_rows(table) for table in (node_table, word_table))
    parents = [[int(p) for p in row[1].split(",") if p] for row in nodes]
    above: list[set[int]] = []
    for k, found in enumerate(parents):
        above.append({k}.union(*(above[p] for p in found)))
    words = tuple(row[0] for row in lines)
    held, rarer = (_held([row[side] for row in lines], above) for side in (1, 2))
    concepts = [(k, row[3], row[4]) for k, row in enumerate(nodes) if row[3]]
    forms = np.array([[form(word) for word in words] for form in FORMS.values()])
    levels = np.concatenate([[_levels(k, above[k], held) for k, *_ in concepts], np.where(forms, 1.0, FORM_LEVEL)])
    at = [k for k, *_ in concepts]
    unclear = np.concatenate([rarer[:, at].T & ~held[:, at].T, np.zeros_like(forms)])
    paths = [_path(int(row[1].split("|")[0].split(",")[0]), parents) for row in lines]
    return Vocabulary(
        words,
        (*(name for _, name, _ in concepts), *FORMS),
        {name: definition for _, name, definition in concepts},
        levels,
        unclear,
        held,
        np.array(sorted(range(len(words)), key=lambda w: (paths[w], words[w]))),
    )


def _rows(table: bytes) -> list[list[str]]:
    return [line.split("\t") for line in table.decode("utf-8").splitlines()[1:]]


def _held(senses: list[str], above: list[set[int]]) -> Array:
    """Which nodes hold each word, (n, k); senses are parted by bars, and their nodes by commas."""
    found = np.zeros((len(senses), len(above)), dtype=bool)
    for w, row in enumerate(senses):
        for node in row.replace("|", ",").split(","):
            if node:
                found[w, list(above[int(node)])] = True
    return found


def _levels(node: int, above: set[int], held: Array) -> Array:
    """Levels (n,) of the concept at a node, which those in ``above`` hold."""
    shares = held.mean(axis=0)
    holders = sorted(above)
    content = np.log(shares[holders]) / np.log(shares[node])
    found = (held[:, holders] * (NEAR * content)).max(axis=1)
    return np.where(held[:, node], 1.0, found)


def _path(node: int, parents: list[list[int]]) -> tuple[int, ...]:
    """From the top of the taxonomy to a node, through first parents."""
    path = [node]
    while parents[path[0]]:
        path.insert(0, parents[path[0]][0])
    return tuple(path)


@cache
def _index(vocabulary: Vocabulary) -> dict[str, int]:
    return {word: k for k, word in enumerate(vocabulary.words)}


def jaccard_similarity(vocabulary: Vocabulary, rows: Array, others: Array) -> Array:
    """Nodes that two words share over nodes that either has (Jaccard), for words by number: (r, o)."""
    a, b = (vocabulary.nodes[chosen].astype(np.float64) for chosen in (rows, others))
    shared: Any = a @ b.T
    return np.asarray(shared / (a.sum(axis=1)[:, None] + b.sum(axis=1) - shared))
