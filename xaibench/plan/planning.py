"""The plan: units of a suite with what must become of them, in memory or as a stream."""

from __future__ import annotations

import difflib
import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from xaibench.core.errors import NothingToDoError, UsageError, did_you_mean
from xaibench.core.keys import canonical_json
from xaibench.plan.cells import Unit
from xaibench.plan.decisions import PlannedUnit, Rerun, State, decide
from xaibench.plan.expansion import Metrics, Selection, expand, shown_names
from xaibench.plan.history import History
from xaibench.plan.pattern_check import check_patterns
from xaibench.problems.specs import AnyProblemSpec, FunctionProblemSpec
from xaibench.suite import Suite

MAX_CELLS_IN_MEMORY = 50_000
"""Cells up to which a plan is held in memory; a larger one is expanded again by every loop over it."""


@dataclass(frozen=True)
class Shard:
    """One of several parts of a suite that run separately: units by a hash of their id.

    The parts share problems, so each of them trains or loads the models that it needs.
    """

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``.

        Raises
        ------
        UsageError
            If it is not of that form.
        """
        index, _, of = text.partition("/")
        if not (index.isdecimal() and of.isdecimal() and 1 <= int(index) <= int(of)):
            raise UsageError(f"{text!r} is not a shard", "use I/N, for example 1/3 for the first of three parts")
        return cls(int(index), int(of))

    def has(self, unit: Unit) -> bool:
        """Whether a unit belongs to this part."""
        return int(unit.unit_id, 16) % self.of == self.index - 1


class PlannedUnits:
    """The planned units, in order; those of a large plan are made again by every loop."""

    def __init__(self, make: Callable[[], Iterator[PlannedUnit]], units: list[PlannedUnit] | None, count: int) -> None:
        self._make = make
        self._units = units
        self._count = count

    def __iter__(self) -> Iterator[PlannedUnit]:
        return self._make() if self._units is None else iter(self._units)

    def __len__(self) -> int:
        return self._count


@dataclass
class _Summary:
    """What one pass over the units has found."""

    states: Counter[State] = field(default_factory=Counter)
    units: int = 0
    todo: int = 0
    known_seconds: float = 0.0
    unknown: int = 0

    def add(self, planned: PlannedUnit) -> None:
        self.units += 1
        self.states.update(c.state for c in planned.cells)
        todo = planned.todo
        self.todo += len(todo)
        if todo and planned.explain_seconds is not None:
            self.known_seconds += planned.explain_seconds
        for cell in todo:
            if cell.seconds is None:
                self.unknown += 1
            else:
                self.known_seconds += cell.seconds


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    suite : Suite
    units : PlannedUnits
        What this run takes care of.
    rerun : {"failed", "stale", "all"} or None
    whole : bool
        False if only a part of the suite was selected; a shard is of the whole.
    shard : Shard or None
    cells_digest : str
        Equal for plans of the same cells, whatever shard of them they are.
    """

    suite: Suite
    units: PlannedUnits
    rerun: Rerun | None
    whole: bool
    shard: Shard | None
    cells_digest: str
    _summary: _Summary
    _expand: Callable[[], Iterator[Unit]]

    @property
    def states(self) -> Counter[State]:
        return self._summary.states

    @property
    def todo(self) -> int:
        """Cells that will be scored."""
        return self._summary.todo

    def every_unit(self) -> Iterator[Unit]:
        """All units of the plan, those of other shards too: what a leaderboard must show."""
        return self._expand()

    def by_problem(self) -> Iterator[tuple[AnyProblemSpec, list[PlannedUnit]]]:
        """Units grouped by problem, in order."""
        for _, group in itertools.groupby(self.units, key=lambda planned: planned.unit.problem.key):
            units = list(group)
            yield units[0].unit.problem, units

    def seconds(self) -> tuple[float, int]:
        """Expected seconds from history, and the number of cells that history says nothing about."""
        return self._summary.known_seconds, self._summary.unknown

    def facts(self) -> dict[str, Any]:
        """What the manifest of a run says about its plan."""
        return {
            "suite": self.suite.name,
            "whole": self.whole,
            "shard": None if self.shard is None else [self.shard.index, self.shard.of],
            "cells_digest": self.cells_digest,
            "resolved_suite": self.suite.model_dump(mode="json"),
        }


def make_plan(
    suite: Suite,
    *,
    history: History | None = None,
    fingerprint: Callable[[AnyProblemSpec], str | None] = lambda problem: None,
    selection: Selection | None = None,
    rerun: Rerun | None = None,
    shard: Shard | None = None,
    keep: int = MAX_CELLS_IN_MEMORY,
) -> Plan:
    """Plan a suite against what the store holds. Runs and writes nothing.

    Parameters
    ----------
    suite : Suite
    history : History, optional
    fingerprint : callable, optional
        The content of a problem, None where that is not known yet; asked once per problem, and not for functions
        and cases without a stored result, as they would have to be made.
    selection : Selection, optional
    rerun : {"failed", "stale", "all"}, optional
    shard : Shard, optional
    keep : int
        Cells up to which the plan is held in memory.

    Raises
    ------
    NothingToDoError
        If the selection leaves no cell.
    UsageError
        If a pattern of the selection matches nothing; see `check_patterns`.
    """
    check_patterns(suite, selection)
    known = history or History()
    fingerprints: dict[str, str | None] = {}

    def every() -> Iterator[Unit]:
        return expand(suite, selection)

    def decided(units: Iterable[Unit]) -> Iterator[PlannedUnit]:
        for unit in units:
            if shard is not None and not shard.has(unit):
                continue
            key = unit.problem.key
            if key not in fingerprints and (not _made_for_fingerprint(unit) or _has_results(unit, known)):
                fingerprints[key] = fingerprint(unit.problem)
            content, capabilities = fingerprints.get(key), unit.problem.capabilities()
            yield decide(unit, history=known, fingerprint=content, capabilities=capabilities, rerun=rerun)

    cells, summary = _CellsDigest(), _Summary()
    in_memory: list[PlannedUnit] | None = []
    for planned in decided(map(cells.take, every())):
        summary.add(planned)
        if in_memory is not None:
            in_memory.append(planned)
            if summary.states.total() > keep:
                in_memory = None
    if not cells.count:
        raise NothingToDoError("no cell is selected", _nothing_selected(suite, selection))
    units = PlannedUnits(lambda: decided(every()), in_memory, summary.units)
    whole = selection in (None, Selection())
    return Plan(suite, units, rerun, whole, shard, cells.hexdigest(), summary, every)


def _made_for_fingerprint(unit: Unit) -> bool:
    """Whether the content of the problem is known only when its functions are made, some of which are trained nets."""
    return isinstance(unit.problem, FunctionProblemSpec)


def _has_results(unit: Unit, known: History) -> bool:
    """Whether a cell of the unit was ever run; else it is due, whatever the content."""
    return any(known.knows(cell.cell_id) or known.knows_unversioned(cell.unversioned_id) for cell in unit.cells)


def _nothing_selected(suite: Suite, selection: Selection | None) -> str:
    """What to do where a selection leaves nothing: a name that is spelt almost alike, if there is one."""
    names = shown_names(suite)
    for pattern in () if selection is None else selection.only:
        close = difflib.get_close_matches(pattern, names, n=1)
        if close and pattern not in names:
            return did_you_mean(pattern, names)
    return "loosen --only and --skip; `xaibench plan` shows the cells"


class _CellsDigest:
    """Digest of all cells of a plan, from the ids of the units and the names of their metrics."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._metrics: dict[Metrics, bytes] = {}

    def take(self, unit: Unit) -> Unit:
        if unit.metrics not in self._metrics:
            said = [[choice.identity, choice.spec.version, output] for choice, output in unit.metrics]
            self._metrics[unit.metrics] = hashlib.blake2b(canonical_json(said).encode(), digest_size=16).digest()
        self._hash.update(unit.unit_id.encode() + self._metrics[unit.metrics])
        self.count += 1
        return unit

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
