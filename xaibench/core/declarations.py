"""Checks of declarations when a component is defined, because a wrong one would change scores silently."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xaibench.core.errors import UsageError, did_you_mean


def check_word(owner: str, argument: str, value: Any, known: Iterable[str]) -> None:
    """Raise UsageError if an argument of a decorator is not one of the words that it may be."""
    words = list(known)
    if not isinstance(value, str) or value not in words:
        raise UsageError(f"{owner}: {argument}={value!r} is not known", did_you_mean(str(value), words))


def check_words(owner: str, argument: str, values: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError if one of several words is not known."""
    words = list(known)
    for value in sorted(map(str, values)):
        check_word(owner, argument, value, words)


def check_version(owner: str, version: Any) -> None:
    """Raise UsageError if a version is not a whole number from 1 on."""
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise UsageError(f"{owner}: version={version!r} is not a whole number from 1 on", "count 1, 2, 3")


def check_bounds(owner: str, bounds: Any) -> None:
    """Raise UsageError if bounds are not two numbers in order, either of which may be None."""
    pair = tuple(bounds) if isinstance(bounds, (tuple, list)) else ()
    numbers = [b for b in pair if b is not None]
    right = len(pair) == 2 and all(isinstance(b, (int, float)) and not isinstance(b, bool) for b in numbers)
    if not right or (len(numbers) == 2 and numbers[0] >= numbers[1]):
        raise UsageError(
            f"{owner}: bounds={bounds!r} are not a lower and an upper bound", "write (0, 1), or None for an open end"
        )
