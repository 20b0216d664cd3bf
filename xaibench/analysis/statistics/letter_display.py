"""Compact letter display of groups that a test cannot separate (Piepho 2004). Sets are bits of integers."""

from __future__ import annotations

import string
from functools import lru_cache

import numpy as np

from xaibench.core.types import Array

GROUP_LETTERS = string.ascii_lowercase + string.ascii_uppercase


def letters(differ: Array, order: Array) -> list[str]:
    """Letters of E explainers; two of them share one if and only if the test does not separate them.

    Parameters
    ----------
    differ : array (E, E) of bool
        Symmetric: which pairs the test separates.
    order : array (E,) of int
        The explainers from best to worst; the first letters go to the first of them.
    """
    ordered = differ[np.ix_(order, order)]
    rows = np.packbits(~ordered, axis=1, bitorder="little")
    alike = tuple(int.from_bytes(row.tobytes(), "little") for row in rows)
    found = [""] * len(order)
    for place, text in zip(order.tolist(), _letters(alike), strict=True):
        found[place] = text
    return found


@lru_cache(maxsize=4096)
def _letters(alike: tuple[int, ...]) -> tuple[str, ...]:
    """Letters by the sets of those that are alike, everyone alike to himself."""
    groups = _completed(_runs(alike), alike)
    texts = [""] * len(alike)
    for i, group in enumerate(groups):
        name = GROUP_LETTERS[i] if i < len(GROUP_LETTERS) else f"({i + 1})"
        for member in _members(group):
            texts[member] += name
    return tuple(texts)


def _runs(alike: tuple[int, ...]) -> list[int]:
    """Longest runs of neighbours in the order that are all alike."""
    n, runs, stop, run = len(alike), [], 0, 0
    for start in range(n):
        grown = False
        while stop < n and not run & ~alike[stop]:
            run |= 1 << stop
            stop += 1
            grown = True
        if grown:
            runs.append(run)
        run &= ~(1 << start)
    return runs


def _completed(groups: list[int], alike: tuple[int, ...]) -> list[int]:
    """More groups, until every two that are alike are in one: each grows from the first two that are in none."""
    together = [0] * len(alike)
    for group in groups:
        for member in _members(group):
            together[member] |= group
    grown = list(groups)
    for i, others in enumerate(alike):
        while left := others & ~together[i]:
            group = 1 << i | left & -left
            waiting = others & alike[(left & -left).bit_length() - 1] & ~group
            while waiting:
                first = waiting & -waiting
                group |= first
                waiting &= alike[first.bit_length() - 1] & ~first
            for member in _members(group):
                together[member] |= group
            grown.append(group)
    if len(grown) == len(groups):
        return groups
    return sorted(_needed(grown), key=_members)


def _needed(groups: list[int]) -> list[int]:
    """Groups without those whose pairs are all in others, the last ones dropped first."""
    needed = list(groups)
    for group in reversed(groups):
        others = [g for g in needed if g != group]
        for member in _members(group):
            together = 0
            for other in others:
                if other >> member & 1:
                    together |= other
            if group & ~together:
                break
        else:
            needed = others
    return needed


@lru_cache(maxsize=65536)
def _members(bits: int) -> tuple[int, ...]:
    members = []
    while bits:
        lowest = bits & -bits
        members.append(lowest.bit_length() - 1)
        bits ^= lowest
    return tuple(members)
