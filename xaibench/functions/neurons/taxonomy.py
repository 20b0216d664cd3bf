"""Concepts of meaning in the taxonomy: distances, and which are broader, narrower or disjoint by their words."""

from __future__ import annotations

from functools import cache

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.cards import read_shipped
from xaibench.functions.neurons.concepts import Vocabulary

FEWEST_NARROWER = 8
"""Words that a narrower concept must hold."""


def concept_distances(concepts: tuple[str, ...]) -> Array:
    """Steps from each concept's node to each other's, up to a common ancestor and down again.

    Parameters
    ----------
    concepts : tuple of str, c
        Names of concepts of meaning.

    Returns
    -------
    array (c, c)
        Infinite where two nodes have no ancestor in common.

    Raises
    ------
    DataError
        If the file of nodes is missing or damaged.
    """
    return _distances(read_shipped("find_words", "nodes.tsv"), concepts)


@cache
def _distances(table: bytes, concepts: tuple[str, ...]) -> Array:
    rows = [line.split("\t") for line in table.decode("utf-8").splitlines()[1:]]
    parents = [[int(p) for p in row[1].split(",") if p] for row in rows]
    node = {row[3]: k for k, row in enumerate(rows) if row[3]}
    steps = np.full((len(concepts), len(rows)), np.inf)
    for i, name in enumerate(concepts):
        _climb(node[name], parents, steps[i])
    return np.array([[float((a + b).min()) for b in steps] for a in steps])


def _climb(start: int, parents: list[list[int]], steps: Array) -> None:
    """Fill in the number of steps from a node to each of its ancestors."""
    level, n = {start}, 0
    while level:
        steps[list(level)] = np.minimum(steps[list(level)], n)
        level, n = {p for k in level for p in parents[k]}, n + 1


@cache
def _shared(known: Vocabulary) -> Array:
    """Words that two concepts of meaning have in common, (c, c)."""
    meanings = np.array([not known.is_form(name) for name in known.concepts])
    members = known.members[meanings].astype(np.int64)
    return np.asarray(members @ members.T)


def broader_concepts(known: Vocabulary, concept: int) -> Array:
    """Numbers of the concepts of meaning that hold all words of one and more, the smallest first."""
    shared, sizes = _shared(known), np.diag(_shared(known))
    found = np.flatnonzero((shared[concept] == sizes[concept]) & (sizes > sizes[concept]))
    return found[np.argsort(sizes[found], kind="stable")]


def narrower_concepts(known: Vocabulary, concept: int) -> Array:
    """Numbers of the concepts of at least 8 words that lie within one and hold fewer, the largest first."""
    shared, sizes = _shared(known), np.diag(_shared(known))
    inside = (shared[concept] == sizes) & (sizes < sizes[concept]) & (sizes >= FEWEST_NARROWER)
    found = np.flatnonzero(inside)
    return found[np.argsort(-sizes[found], kind="stable")]


def disjoint_concepts(known: Vocabulary, concept: int) -> Array:
    """Numbers of the concepts of meaning without a word in common with one."""
    return np.flatnonzero(_shared(known)[concept] == 0)
