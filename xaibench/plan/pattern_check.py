"""Patterns of a selection that nothing in a suite matches: a misspelt name must not change nothing in silence."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.plan.expansion import Selection, cell_matches, expand, shown_names
from xaibench.suite import Suite


def check_patterns(suite: Suite, selection: Selection | None) -> None:
    """Check that every pattern of a selection is about a cell of the suite, whatever the other patterns leave of it.

    Where no pattern of ``only`` matches, nothing is selected, which the plan says by itself.

    Parameters
    ----------
    suite : Suite
    selection : Selection or None

    Raises
    ------
    UsageError
        If a pattern of ``skip`` matches no cell, or one of several patterns of ``only``.
    """
    if selection is None or not (selection.only or selection.skip):
        return
    names = shown_names(suite)
    unknown = _unmatched(suite, (*selection.only, *selection.skip), names)
    if set(selection.only) <= unknown:
        unknown -= {*selection.only} - {*selection.skip}
    for option, patterns in (("skip", selection.skip), ("only", selection.only)):
        for pattern in patterns:
            if pattern in unknown:
                raise UsageError(f"--{option} {pattern!r} matches no cell of this suite", _hint(pattern, names))


def _unmatched(suite: Suite, patterns: tuple[str, ...], names: set[str]) -> set[str]:
    """The patterns that match neither a name of the suite nor a cell."""
    by_path = {p for p in patterns if "/" in p}
    left = by_path | {p for p in patterns if p not in by_path and not any(_is_name(p, name) for name in names)}
    if left:
        for labels in _cells(suite):
            left = {pattern for pattern in left if not cell_matches(pattern, labels)}
            if not left:
                break
    return left


def _cells(suite: Suite) -> Iterator[tuple[str, str, str, str]]:
    for unit in expand(suite):
        if unit.repeat == 0:
            for metric, _ in unit.metrics:
                yield (*unit.problem.labels, unit.explainer.label, metric.label)


def _is_name(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


def _hint(pattern: str, names: set[str]) -> str:
    """Names that are spelt almost like the part of a pattern that is not one."""
    parts = [part for part in pattern.split("/") if part]
    wrong = next((part for part in parts if not any(_is_name(part, name) for name in names)), None)
    if wrong is None:
        return "`xaibench plan --cells` shows the cells"
    return did_you_mean(wrong, names)
