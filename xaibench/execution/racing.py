"""Raced runs: samples come in blocks, and explainers that are decided are not explained any further."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from xaibench.analysis.leaderboard.placebo_tests import TESTED_FAMILIES
from xaibench.analysis.leaderboard.score_matrix import FLOOR
from xaibench.analysis.racing.closing import Delta, delta_of
from xaibench.analysis.racing.decisions import RACE_RULES, MetricRace, RaceStop
from xaibench.analysis.racing.modes import RaceMode
from xaibench.analysis.racing.spending import looks_at
from xaibench.core.components import ORACLE
from xaibench.core.context import context_rows
from xaibench.core.errors import StoreError, UsageError
from xaibench.core.keys import canonical_json, digest
from xaibench.core.problem import Problem
from xaibench.core.program_specs import is_control
from xaibench.core.types import Array
from xaibench.execution.observer import Observer
from xaibench.execution.provenance import provenance
from xaibench.execution.row_building import Facts, failure, make_row, reason, unsupported_row
from xaibench.execution.run import Outcome
from xaibench.execution.task import Options
from xaibench.execution.unit import ProblemCaches, score_unit
from xaibench.plan import Cell, Plan, PlannedUnit, Unit, planned_tables
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.store import Row, Store
from xaibench.store.stopped_early import STOPPED_EARLY

_SCORED = ("ok", "undefined")


def require_raceable(plan: Plan) -> None:
    """Raise UsageError if anything in a plan cannot be raced.

    Raises
    ------
    UsageError
        For functions and cases, metrics over a whole data set, and several labels of one input.
    """
    for planned in plan.units:
        unit = planned.unit
        if not isinstance(unit.problem, ProblemSpec):
            raise UsageError("only explanations of models can be raced, not functions or cases", "leave --race out")
        if unit.problem.target == "each":
            raise UsageError("labels of one input are not independent samples, so they cannot be raced")
        for metric, _ in unit.metrics:
            if getattr(metric.spec, "scope", "sample") == "dataset":
                raise UsageError(
                    f"{metric.spec.name} scores a whole data set and cannot be raced", f"add --skip {metric.spec.name}"
                )


def race_plan(plan: Plan, store: Store, options: Options, mode: RaceMode, watch: Observer) -> Outcome:
    """Run a plan as races, one per problem, draw seed and metric, in this process.

    Every explainer is explained and scored in blocks of samples, which end at the looks of the race. Rows of those that
    left hold the scores of the samples that they took; their message says so, and their content key is their own, so
    that a later full run scores them again and finds all others done.
    """
    require_raceable(plan)
    started = time.perf_counter()
    facts = {**plan.facts(), "race": {"mode": mode}, "started": datetime.now(UTC).isoformat()}
    facts |= {"plugins": list(options.plugins), "device": options.device}
    facts["provenance"] = provenance(argv=options.argv, threads=options.threads)
    run = store.claim_run(facts, planned_tables(plan.every_unit()))
    outcome = Outcome(run)
    watch.started(plan, run)
    problems = Problems(options.cache, device=options.device, batch_size=options.batch_size)
    known = _known(store)
    try:
        for spec, planned in plan.by_problem():
            assert isinstance(spec, ProblemSpec)
            _race_problem(spec, planned, problems, store, run, mode, known, watch, outcome)
    except KeyboardInterrupt:
        outcome.end = "interrupted"
    outcome.seconds = time.perf_counter() - started
    store.finish_run(run, outcome.as_dict())
    store.compact()
    return outcome


def _known(store: Store) -> dict[str, str]:
    """Score keys by cell of what is stored and scored."""
    rows = store.read(["cell_id", "score_key", "status"]).to_pylist()
    return {row["cell_id"]: row["score_key"] for row in rows if row["status"] in (*_SCORED, "unsupported")}


def _race_problem(
    spec: ProblemSpec,
    planned: list[PlannedUnit],
    problems: Problems,
    store: Store,
    run: int,
    mode: RaceMode,
    known: dict[str, str],
    watch: Observer,
    outcome: Outcome,
) -> None:
    watch.preparing(spec)
    try:
        problem = problems.prepare(spec, lambda done, total, text: watch.training(spec, done, total, text))
    except StoreError:
        raise
    except (Exception, SystemExit) as error:
        columns = failure(error)
        for one in planned:
            rows = [make_row(one.unit, c.cell, run, **columns) for c in one.cells]
            store.write_part(rows)
            outcome.count(rows)
        watch.not_prepared(spec, reason(columns))
        return
    about = Facts.of(problem)
    watch.prepared(spec, about)
    outcome.gates[spec.name] = about.gates
    for seed in dict.fromkeys(one.unit.seed for one in planned):
        group = [one for one in planned if one.unit.seed == seed]
        runner = _ProblemRace(problem, about, group, store, run, mode)
        if runner.is_done(known):
            outcome.cached += sum(len(one.cells) for one in group)
            continue
        for one, rows in runner():
            store.write_part(rows)
            outcome.count(rows)
            watch.unit_started(one)
            watch.unit_finished(one, rows)
    watch.problem_finished(spec)


def block_of(problem: Problem, start: int, stop: int) -> Problem:
    """The problem of the samples from ``start`` to before ``stop``."""
    rows, samples = slice(start, stop), problem.samples
    own = replace(
        samples,
        inputs=samples.inputs[rows],
        targets=samples.targets[rows],
        digests=samples.digests[rows],
        foils=None if samples.foils is None else samples.foils[rows],
        labels=None if samples.labels is None else samples.labels[rows],
        context=context_rows(samples.context, rows),
        sizes=None if samples.sizes is None else samples.sizes[rows],
    )
    return replace(
        problem,
        samples=own,
        fingerprint=digest("block", problem.fingerprint, start, stop),
        truth=None if problem.truth is None else problem.truth[rows],
        pairs={need: tuple(pair[rows] for pair in found) for need, found in problem.pairs.items()},
    )


@dataclass
class _CellRace:
    """A cell that is raced: its rows so far, and how it left."""

    unit: Unit
    cell: Cell
    rows: list[Row] = field(default_factory=list)
    left: str | None = None

    @property
    def alive(self) -> bool:
        return self.left is None and all(row.status in _SCORED for row in self.rows)

    @property
    def scores(self) -> list[float]:
        return [score for row in self.rows for score in row.scores]


class _ProblemRace:
    """The races of one problem and draw seed: one per metric, over the same blocks."""

    def __init__(
        self, problem: Problem, about: Facts, planned: list[PlannedUnit], store: Store, run: int, mode: RaceMode
    ) -> None:
        self.problem, self.about, self.planned, self.store, self.run = problem, about, planned, store, run
        self.looks = looks_at(len(problem.samples))
        self.units: list[tuple[PlannedUnit, list[_CellRace]]] = []
        self.unsupported: dict[str, str] = {}
        for one in planned:
            cells = []
            for entry in one.cells:
                why = one.unit.unsupported(entry.cell, problem.capabilities, problem.lacking)
                if why is None:
                    cells.append(_CellRace(one.unit, entry.cell))
                else:
                    self.unsupported[entry.cell.cell_id] = why
            self.units.append((one, cells))
        self.mode = mode
        self.races = self._races()

    def is_done(self, known: dict[str, str]) -> bool:
        """Whether the store has a row for every cell, complete or of an earlier race like this one."""
        for _, cells in self.units:
            for one in cells:
                key = one.unit.score_key(self.about.fingerprint, one.cell)
                if known.get(one.cell.cell_id) not in (key, self._stopped_key(key)):
                    return False
        return True

    def _stopped_key(self, key: str) -> str:
        return digest("raced", RACE_RULES, key, self.mode, list(self.looks))

    def __call__(self) -> Iterator[tuple[PlannedUnit, list[Row]]]:
        """Run the blocks; then the rows of every unit, and the explanations that were made of all samples."""
        fingerprints = []
        for start, stop in pairwise((0, *self.looks)):
            block = block_of(self.problem, start, stop)
            fingerprints.append(block.fingerprint)
            bench, about = ProblemCaches(block, None), replace(self.about, fingerprint=block.fingerprint)
            for _, cells in self.units:
                alive = {one.cell.cell_id: one for one in cells if one.alive}
                if not alive:
                    continue
                unit = _with_cells(cells[0].unit, set(alive))
                for row in score_unit(unit, unit.cells, bench, about, self.store, self.run):
                    alive[row.cell_id].rows.append(row)
            if stop < self.looks[-1]:
                self._look(stop)
        for planned, cells in self.units:
            if any(one.alive for one in cells):
                self._join(cells[0].unit, fingerprints)
            merged = {one.cell.cell_id: self._merged(one) for one in cells}
            yield (
                planned,
                [
                    merged[entry.cell.cell_id]
                    if entry.cell.cell_id in merged
                    else unsupported_row(
                        planned.unit, entry.cell, self.run, self.unsupported[entry.cell.cell_id], self.about
                    )
                    for entry in planned.cells
                ],
            )

    def _join(self, unit: Unit, fingerprints: list[str]) -> None:
        """Store the explanation of all samples as one: a later run scores it, and `agreement` compares it."""
        key = unit.explain_key(self.about.fingerprint)
        found = [self.store.load_attributions(unit.explain_key(fingerprint)) for fingerprint in fingerprints]
        blocks = [one for one in found if one is not None]
        if len(blocks) < len(found) or self.store.load_attributions(key) is not None:
            return
        maps, kinds, seconds = zip(*blocks, strict=True)
        sizes = self.problem.samples.sizes
        self.store.save_attributions(
            key, torch.cat(maps), kind=kinds[0], seconds=sum(seconds), sizes=None if sizes is None else sizes.cpu()
        )

    def _races(self) -> list[tuple[MetricRace, list[_CellRace]]]:
        by_metric: dict[Any, list[_CellRace]] = {}
        for _, cells in self.units:
            for one in cells:
                if one.unit.repeat == 0:
                    by_metric.setdefault((one.cell.metric.label, one.cell.output), []).append(one)
        found = []
        for entries in by_metric.values():
            spec = entries[0].cell.spec
            if self.mode == "placebo" and spec.family not in TESTED_FAMILIES:
                continue
            control = np.array([is_control(one.unit.spec) for one in entries])
            oracle = np.array([one.unit.spec.name == ORACLE for one in entries])
            race = MetricRace(
                self.mode, self.looks[-1], ~control, control & ~oracle, spec.higher_is_better,
                spec.aggregate == "median_log10",
            )  # fmt: skip
            found.append((race, entries))
        return found

    def _look(self, n: int) -> None:
        for race, entries in self.races:
            race.delta = race.delta or _delta_of(entries)
            scores = np.full((len(entries), n), np.nan)
            for i, one in enumerate(entries):
                values: Array = np.asarray(one.scores, dtype=np.float64)
                if len(values) == n:
                    scores[i] = np.log10(np.maximum(values, FLOOR)) if race.median else values
                elif i in race.running:
                    race.withdraw(i)
            for stop in race.look(scores):
                entries[stop.explainer].left = _said(stop, entries, self.looks[-1])

    def _merged(self, one: _CellRace) -> Row:
        """The row of a cell from those of its blocks; of a cell that failed in one of them, that one."""
        failed = [row for row in one.rows if row.status not in _SCORED]
        last, scores = (failed or one.rows)[-1], one.scores
        key = one.unit.score_key(self.about.fingerprint, one.cell)
        columns: dict[str, Any] = {
            "fingerprint": self.about.fingerprint,
            "explain_key": one.unit.explain_key(self.about.fingerprint),
            "score_key": key if one.left is None else self._stopped_key(key),
            "explain_seconds": sum(row.explain_seconds or 0.0 for row in one.rows),
            "score_seconds": sum(row.score_seconds or 0.0 for row in one.rows),
            "n_evaluations": sum(row.n_evaluations or 0 for row in one.rows),
            **{name: _largest(getattr(row, name) for row in one.rows) for name in ("explain_memory", "score_memory")},
        }
        if failed:
            return replace(last, **columns)
        n_undefined = sum(row.n_undefined for row in one.rows)
        nothing = n_undefined == len(scores)
        return replace(
            last,
            **columns,
            scores=scores,
            sample_ids=[name for row in one.rows for name in row.sample_ids],
            n=len(scores),
            n_undefined=n_undefined,
            status="undefined" if nothing else "ok",
            message=STOPPED_EARLY + one.left if one.left else "no sample has a defined score" if nothing else None,
        )


def _delta_of(entries: list[_CellRace]) -> Delta | None:
    """The practical delta of the metric that these cells are raced by; None before anything is scored."""
    output = next((row.output for one in entries for row in one.rows if row.status in _SCORED), None)
    if output is None:
        return None
    spec, params = entries[0].cell.spec, canonical_json(dict(entries[0].cell.metric.params))
    return delta_of(
        spec.name, spec.family, spec.aggregate, output, params, bounds=spec.bounds, has_unit=spec.has_output_unit
    )


def _said(stop: RaceStop, entries: list[_CellRace], n: int) -> str:
    where = f"at {stop.n} of {n} samples"
    if stop.rival is None:
        return f"better than every placebo {where}"
    rival = entries[stop.rival].unit.explainer.label
    if stop.outcome == "tied":
        return f"tied with {rival} within {stop.delta:.2g} {where}"
    if stop.outcome == "not separable":
        return f"not separable from {rival} by all samples, as it seems {where}"
    return f"{'beaten by' if stop.outcome == 'beaten' else 'worse than'} {rival} {where}"


def _largest(values: Iterable[int | None]) -> int | None:
    """The largest of the values that are known; None if none is."""
    return max((value for value in values if value is not None), default=None)


def _with_cells(unit: Unit, wanted: set[str]) -> Unit:
    """The unit with these cells only."""
    pairs = zip(unit.metrics, unit.cells, strict=True)
    return replace(unit, metrics=tuple(metric for metric, cell in pairs if cell.cell_id in wanted))
