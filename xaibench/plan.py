"""The plan: a suite expanded to units and cells, and what must become of each of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal, cast, get_args

from xaibench.core import registry
from xaibench.core.components import ExplainerSpec, InterpreterSpec, MetricSpec, is_control, missing_needs
from xaibench.core.errors import NothingToDoError
from xaibench.core.keys import KEY_VERSION, digest
from xaibench.core.maskers import DRAWN, MASKERS_VERSION
from xaibench.history import History
from xaibench.problems import AnyProblemSpec, FunctionProblemSpec, ProblemSpec
from xaibench.suite import EXPLAINING, Choice, FunctionsEntry, Suite

State = Literal["run", "cached", "stale", "retry", "unsupported", "left"]
STATES: tuple[State, ...] = get_args(State)
"""``stale``: there is a result of other content or version; ``left``: due, but not asked for by ``rerun``."""
Rerun = Literal["failed", "stale", "all"]
RANDOM = "random"


@dataclass(frozen=True)
class Cell:
    """One metric of a unit."""

    metric: Choice
    output: str | None
    cell_id: str
    lineage: str

    @property
    def spec(self) -> MetricSpec:
        return cast(MetricSpec, self.metric.spec)


@dataclass(frozen=True)
class Unit:
    """One explanation of one problem, with all metrics that score it: explain once, score many.

    On a problem of functions the explainer is an interpreter, and the explanation its programs.
    """

    problem: AnyProblemSpec
    explainer: Choice
    seed: int
    repeat: int
    metrics: tuple[tuple[Choice, str | None], ...]

    @property
    def spec(self) -> ExplainerSpec | InterpreterSpec:
        return cast("ExplainerSpec | InterpreterSpec", self.explainer.spec)

    @cached_property
    def _identity(self) -> list[Any]:
        return [self.problem.identity, self.explainer.identity, self.seed, self.repeat]

    @cached_property
    def unit_id(self) -> str:
        return digest("unit", self._identity, self.versions)

    @property
    def versions(self) -> dict[str, int]:
        return {**self.problem.versions, "explainer": self.spec.version}

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(self._cell(metric, output) for metric, output in self.metrics)

    def _cell(self, metric: Choice, output: str | None) -> Cell:
        names = [self._identity, metric.identity, output]
        versions = {**self.versions, "metric": metric.spec.version}
        return Cell(metric, output, digest("cell", names, versions), digest("cell", names))

    def explain_key(self, fingerprint: str) -> str:
        """Content key of the explanation."""
        identity = [*self.explainer.identity, *_drawn(self.explainer)]
        return digest(KEY_VERSION, "explain", fingerprint, identity, self.spec.version, self.seed, self.repeat)

    def score_key(self, fingerprint: str, cell: Cell) -> str:
        """Content key of one score."""
        identity = [*cell.metric.identity, *_drawn(cell.metric)]
        return digest(self.explain_key(fingerprint), identity, cell.spec.version, cell.output)

    def unsupported(self, cell: Cell, capabilities: frozenset[str] | None) -> str | None:
        """Why this cell cannot be had on a problem with these capabilities, or None."""
        if capabilities is None:
            return None
        for spec in (self.spec, cell.spec):
            missing = missing_needs(spec.needs, capabilities)
            if missing:
                return f"{spec.kind} {spec.name} needs {', '.join(missing)}"
        kind = self.spec.stated_kind(self.explainer.params) if isinstance(self.spec, ExplainerSpec) else None
        if kind is not None and kind not in cell.spec.accepts:
            return f"metric {cell.spec.name} takes {' or '.join(sorted(cell.spec.accepts))}, not {kind}"
        # What is given the truth shows the mask where there is one: no answer to a question about weights.
        shows_mask = "truth.mask" in capabilities and bool(self.spec.needs & {"truth", "truth.mask"})
        if shows_mask and "truth.weights" in cell.spec.needs:
            return f"explainer {self.spec.name} shows the mask, and metric {cell.spec.name} is about weights"
        return None


def _drawn(choice: Choice) -> list[str]:
    """What the content of a result depends on besides the component, where a masker draws."""
    return [f"maskers {MASKERS_VERSION}"] if any(str(v) in DRAWN for v in choice.params.values()) else []


_LEFT: dict[str, tuple[State, ...]] = {"failed": ("run", "stale"), "stale": ("run", "retry")}


def unsupported_key(reason: str) -> str:
    """Content key of a cell that cannot be had, for one reason."""
    return f"unsupported: {reason}"


@dataclass(frozen=True)
class Selection:
    """Which part of a suite to run.

    A pattern with a slash is matched with ``dataset/model/explainer/metric`` from the left, one
    without with each of the four names. Names count as the plan shows them, with the parameters that
    the suite gives (``suppressor(c=0.4)``), and without them.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    limit: int | None = None

    def keeps(self, labels: tuple[str, str, str, str]) -> bool:
        """Whether the cell of these four labels is selected."""
        kept = not self.only or any(_matches(p, labels) for p in self.only)
        return kept and not any(_matches(p, labels) for p in self.skip)


def _matches(pattern: str, labels: tuple[str, ...]) -> bool:
    both = [dict.fromkeys((label, label.partition("(")[0])) for label in labels]
    if "/" not in pattern:
        return any(pattern == name or fnmatchcase(name, pattern) for names in both for name in names)
    paths = ("/".join(names) for names in itertools.product(*both))
    return any(fnmatchcase(path, glob) for path in paths for glob in (pattern, f"{pattern.rstrip('/')}/*"))


def expand(suite: Suite, selection: Selection | None = None) -> Iterator[Unit]:
    """Units of a suite: problem by problem, seed by seed, explainers in the order of the file, then controls.

    Neighbours share what they can: the problem, and the evaluations that depend on the seed only.
    Parts come one after the other; a cell that several of them name is there once.
    """
    chosen = selection or Selection()
    if not suite.parts:
        yield from _expand(suite, chosen)
        return
    seen: set[str] = set()
    for part in suite.matrices():
        for unit in _expand(part, chosen):
            fresh = tuple(m for m, c in zip(unit.metrics, unit.cells, strict=True) if c.cell_id not in seen)
            seen.update(c.cell_id for c in unit.cells)
            if fresh:
                yield replace(unit, metrics=fresh)


def _expand(suite: Suite, chosen: Selection) -> Iterator[Unit]:
    """Units of one matrix."""
    metrics = list(dict.fromkeys((c, m.output) for m in suite.metrics for c in m.choices("metric", suite.folder)))
    explainers = list(dict.fromkeys(_explaining(suite)))
    for problem in {p.key: p for p in problems(suite, chosen)}.values():
        capabilities = problem.capabilities()
        with_oracle = capabilities is None or any(c.partition(".")[0] == "truth" for c in capabilities)
        for seed, explainer in itertools.product(suite.seeds, explainers):
            if not _belongs(explainer, problem):
                continue
            path = (*problem.labels, explainer.label)
            kept = tuple(
                (metric, output)
                for metric, output in metrics
                if _belongs(metric, problem)
                and suite.selects(*path, metric.label)
                and chosen.keeps((*path, metric.label))
            )
            # Skill needs the mean over many random maps, and makes sense only where there is an oracle.
            several = explainer.spec.name == RANDOM and with_oracle
            skilled = tuple(m for m in kept if cast(MetricSpec, m[0].spec).skill_valid)
            for repeat in range(suite.random_draws if several else 1):
                scored = skilled if repeat else kept
                if scored:
                    yield Unit(problem, explainer, seed, repeat, scored)


def _explaining(suite: Suite) -> Iterator[Choice]:
    """Explainers and interpreters in the order of the file, then the controls that it does not name."""
    entries = {"explainer": suite.explainers, "interpreter": suite.interpreters}
    for kind in EXPLAINING:
        named = [c for entry in entries[kind] for c in entry.choices(kind, suite.folder)]
        yield from named
        names = {c.spec.name for c in named}
        for spec in registry.components(kind) if suite.controls else ():
            if is_control(spec) and spec.name not in names:
                yield Choice.of(kind, spec.name, {})


def _belongs(choice: Choice, problem: AnyProblemSpec) -> bool:
    """Whether a component is about problems of this sort: functions of a kind that it takes, or models and data."""
    if isinstance(problem, FunctionProblemSpec):
        return choice.spec.about_programs and not missing_needs(choice.spec.needs, problem.capabilities())
    return not choice.spec.about_programs


def problems(suite: Suite, selection: Selection) -> Iterator[AnyProblemSpec]:
    """Problems of a suite, data sets outermost, so that data and models are shared by neighbours."""
    for entry in suite.problems:
        if isinstance(entry, FunctionsEntry):
            yield from _function_problems(suite, entry, selection)
            continue
        samples = entry.samples or suite.samples
        if selection.limit is not None:
            samples = min(samples, selection.limit)
        for dataset in entry.dataset.choices("dataset", suite.folder):
            for seed in suite.problem_seeds:
                for named in entry.models:
                    for model in named.choices("model", suite.folder):
                        problem = ProblemSpec(
                            dataset, model, seed, samples, suite.target, suite.background, entry.output
                        )
                        problem.check()
                        yield problem


def _function_problems(suite: Suite, entry: FunctionsEntry, selection: Selection) -> Iterator[FunctionProblemSpec]:
    limits = [n for n in (entry.samples, selection.limit) if n is not None]
    for functions in entry.functions.choices("functions", suite.folder):
        for seed in suite.problem_seeds:
            yield FunctionProblemSpec(functions, seed, min(limits, default=None), entry.budget or suite.budget)


@dataclass(frozen=True)
class PlannedCell:
    """A cell and what is to be done with it; the score key names the result that a cached one has."""

    cell: Cell
    state: State
    reason: str = ""
    seconds: float | None = None
    score_key: str | None = None


@dataclass(frozen=True)
class PlannedUnit:
    """A unit and what is to be done with its cells."""

    unit: Unit
    cells: tuple[PlannedCell, ...]
    explain_seconds: float | None = None

    @property
    def todo(self) -> tuple[PlannedCell, ...]:
        return tuple(c for c in self.cells if c.state in ("run", "stale", "retry"))


@dataclass(frozen=True)
class Plan:
    """What a run would do; ``whole`` is False if only a part of the suite was selected."""

    suite: Suite
    units: tuple[PlannedUnit, ...]
    rerun: Rerun | None = None
    whole: bool = True

    @cached_property
    def states(self) -> Counter[State]:
        return Counter(c.state for u in self.units for c in u.cells)

    @property
    def todo(self) -> int:
        """Cells that will be scored."""
        return sum(len(u.todo) for u in self.units)

    def by_problem(self) -> Iterator[tuple[AnyProblemSpec, list[PlannedUnit]]]:
        """Units grouped by problem, in order."""
        groups: dict[str, tuple[AnyProblemSpec, list[PlannedUnit]]] = {}
        for planned in self.units:
            groups.setdefault(planned.unit.problem.key, (planned.unit.problem, []))[1].append(planned)
        yield from groups.values()

    def seconds(self) -> tuple[float, int]:
        """Expected seconds from history, and the number of cells that history says nothing about."""
        known, unknown = 0.0, 0
        for unit in self.units:
            if unit.todo and unit.explain_seconds is not None:
                known += unit.explain_seconds
            for cell in unit.todo:
                known, unknown = (known + cell.seconds, unknown) if cell.seconds is not None else (known, unknown + 1)
        return known, unknown


def decide(
    unit: Unit,
    *,
    history: History,
    fingerprint: str | None,
    capabilities: frozenset[str] | None,
    rerun: Rerun | None = None,
) -> PlannedUnit:
    """Say what is to be done with every cell of a unit.

    ``fingerprint`` is None when the model is not there yet; then nothing can be reused for sure.
    With ``rerun``, only failed (or stale) cells are run, or all of them.
    """
    planned = []
    for cell in unit.cells:
        state, reason = _state(unit, cell, history, fingerprint, capabilities)
        if rerun == "all" and state == "cached":
            state, reason = "run", "asked for"
        elif rerun in ("failed", "stale") and state in _LEFT[rerun] and not (state == "stale" and fingerprint is None):
            state, reason = "left", f"not {rerun}"
        seconds = history.score_seconds(unit.problem.name, unit.spec.name, cell.spec.name)
        planned.append(PlannedCell(cell, state, reason, seconds, _content(unit, cell, state, reason, fingerprint)))
    return PlannedUnit(unit, tuple(planned), history.explain_seconds(unit.problem.name, unit.spec.name))


def _content(unit: Unit, cell: Cell, state: State, reason: str, fingerprint: str | None) -> str | None:
    """Score key of the result that is there already, None if there is none or it is not looked at."""
    if state == "unsupported":
        return unsupported_key(reason)
    if state == "cached" and fingerprint is not None:
        return unit.score_key(fingerprint, cell)
    return None


def _state(
    unit: Unit, cell: Cell, history: History, fingerprint: str | None, capabilities: frozenset[str] | None
) -> tuple[State, str]:
    reason = unit.unsupported(cell, capabilities)
    if reason is not None:
        return "unsupported", reason
    if fingerprint is None:
        if history.failed_last(cell.cell_id):
            return "retry", "failed before"
        return ("stale", "known when the model is built") if history.knows(cell.cell_id) else ("run", "")
    status = history.status(cell.cell_id, unit.score_key(fingerprint, cell))
    if status == "done":
        return "cached", ""
    if status == "failed":
        return "retry", "failed before"
    if history.knows(cell.cell_id):
        return "stale", "the problem's content changed"
    if history.knows_lineage(cell.lineage):
        return "stale", "a component's version changed"
    return "run", ""


def make_plan(
    suite: Suite,
    *,
    history: History | None = None,
    fingerprint: Callable[[AnyProblemSpec], str | None] = lambda problem: None,
    selection: Selection | None = None,
    rerun: Rerun | None = None,
) -> Plan:
    """Plan a suite against what is there already. Touches nothing.

    Raises
    ------
    NothingToDoError
        If the selection leaves no cell.
    """
    known = history or History()
    fingerprints: dict[str, str | None] = {}
    units = []
    for unit in expand(suite, selection):
        key = unit.problem.key
        if key not in fingerprints:
            fingerprints[key] = fingerprint(unit.problem)
        units.append(
            decide(
                unit,
                history=known,
                fingerprint=fingerprints[key],
                capabilities=unit.problem.capabilities(),
                rerun=rerun,
            )
        )
    if not units:
        raise NothingToDoError("no cell is selected", "loosen --only and --skip; `xaibench plan` shows the cells")
    return Plan(suite, tuple(units), rerun, whole=selection in (None, Selection()))
