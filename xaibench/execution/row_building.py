"""Building result rows: cell, facts, scores, or the failure and its traceback."""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch

from xaibench.core.components import Component
from xaibench.core.errors import UnsupportedError
from xaibench.core.gates import Gate, gates_hold
from xaibench.core.keys import canonical_json
from xaibench.core.problem import Problem
from xaibench.core.programs.black_box import to_utf8
from xaibench.core.programs.evaluation import FunctionProblem
from xaibench.plan import Cell, Unit, unsupported_key
from xaibench.store import Row

MOST_TEXT = 20_000
"""Most characters of a message or a traceback that a row stores."""


@dataclass(frozen=True)
class Facts:
    """What rows say about a prepared problem, as plain data that any process can have.

    Attributes
    ----------
    fingerprint : str
    gates : tuple of Gate
    truth_kind : str or None
    output : str or None
    batch_size : int or None
    device : str
    threads : int
    n_functions : int or None
        Of a set of functions or cases.
    """

    fingerprint: str
    gates: tuple[Gate, ...]
    truth_kind: str | None
    output: str | None
    batch_size: int | None
    device: str
    threads: int
    n_functions: int | None = None

    @classmethod
    def of(cls, problem: Problem | FunctionProblem) -> Facts:
        """Facts about a problem, in the process that computes."""
        if isinstance(problem, FunctionProblem):
            n = len(problem.functions)
            return cls(problem.fingerprint, problem.gates, problem.truth_kind, None, None, "cpu", 1, n)
        samples = problem.samples
        return cls(
            problem.fingerprint,
            problem.gates,
            None if problem.truth is None else problem.truth.kind,
            samples.output,
            samples.model.batch_size(samples.inputs),
            str(samples.model.device),
            torch.get_num_threads(),
        )

    def columns(self, unit: Unit, cell: Cell) -> dict[str, Any]:
        """Columns of a row that are known once the problem is there."""
        return {
            "fingerprint": self.fingerprint,
            "explain_key": unit.explain_key(self.fingerprint),
            "score_key": unit.score_key(self.fingerprint, cell),
            "gate_passed": gates_hold(self.gates, self.n_functions),
            "gates": json.dumps([gate.document for gate in self.gates]),
            "truth_kind": self._truth_kind(cell.spec),
            "output": self.output,
            "batch_size": self.batch_size,
            "device": self.device,
            "threads": self.threads,
        }

    def _truth_kind(self, metric: Component) -> str | None:
        """What the truth is about: masks are about what the data set says, weights are those of the model."""
        return "model" if self.truth_kind is not None and "truth.weights" in metric.needs else self.truth_kind


def make_row(unit: Unit, cell: Cell, run: int, *, status: str, about: Facts | None = None, **columns: Any) -> Row:
    """A row with everything that is known about a cell; ``columns`` are those of what happened."""
    spec, metric = unit.problem, cell.spec
    content = {} if about is None else about.columns(unit, cell)
    return Row(
        cell_id=cell.cell_id,
        lineage=cell.unversioned_id,
        unit_id=unit.unit_id,
        dataset=spec.labels[0],
        model=spec.labels[1],
        problem_seed=spec.seed,
        selection=spec.selection,
        explainer=unit.spec.name,
        explainer_params=unit.explainer.keyed,
        seed=unit.seed,
        repeat=unit.repeat,
        metric=metric.name,
        params=cell.metric.bound,
        family=metric.family,
        higher_is_better=metric.higher_is_better,
        aggregate=metric.aggregate,
        scope=metric.scope,
        skill_valid=metric.skill_valid,
        control=unit.spec.control,
        versions=canonical_json({**unit.versions, "metric": metric.version}),
        run=run,
        created=datetime.now(UTC),
        status=status,
        asked_output=cell.output,
        **{**content, **columns},
    )


def unsupported_row(unit: Unit, cell: Cell, run: int, reason: str, about: Facts | None = None) -> Row:
    """The row of a cell that is unavailable, and why."""
    return make_row(
        unit, cell, run, about=about, status="unsupported", message=reason, score_key=unsupported_key(reason)
    )


def failure(error: BaseException) -> dict[str, Any]:
    """Status, kind, message and traceback of an exception, as columns of a row, whatever it says."""
    if isinstance(error, UnsupportedError):
        return {"status": "unsupported", "message": error.message}
    out_of_memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
    try:
        message = str(error)
    except Exception:
        message = "(it has no text)"
    return {
        "status": "oom" if out_of_memory else "failed",
        "error_kind": type(error).__name__,
        "message": _storable(message or type(error).__name__),
        "traceback": _storable("".join(traceback.format_exception(error))),
    }


def _storable(text: str) -> str:
    """Text that files can hold, without its middle where it is very long."""
    half = MOST_TEXT // 2
    return to_utf8(text if len(text) <= MOST_TEXT else f"{text[:half]}\n...\n{text[-half:]}")
