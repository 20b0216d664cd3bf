"""Building result rows: cell, facts, scores, or the failure and its traceback."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xaibench.core.components import Component, MetricSpec
from xaibench.core.errors import UnsupportedError, XaibenchError
from xaibench.core.gates import Gate, gates_hold
from xaibench.core.keys import canonical_json
from xaibench.core.needs import ABOUT_MODEL
from xaibench.core.program_specs import is_control
from xaibench.core.programs.black_box import to_utf8
from xaibench.core.user_errors import place_of, text_of
from xaibench.plan import Cell, Unit, unsupported_key
from xaibench.store import Row

if TYPE_CHECKING:
    from xaibench.core.problem import Problem
    from xaibench.core.programs.evaluation import FunctionProblem

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
    model_facts : str or None
        What a first look at the model found, as JSON.
    """

    fingerprint: str
    gates: tuple[Gate, ...]
    truth_kind: str | None
    output: str | None
    batch_size: int | None
    device: str
    threads: int
    n_functions: int | None = None
    model_facts: str | None = None

    @classmethod
    def of(cls, problem: Problem | FunctionProblem) -> Facts:
        """Facts about a problem, in the process that computes."""
        import torch

        from xaibench.core.programs.evaluation import FunctionProblem

        if isinstance(problem, FunctionProblem):
            n = len(problem.functions)
            return cls(problem.fingerprint, problem.gates, problem.truth_kind, None, None, "cpu", 1, n)
        samples = problem.samples
        return cls(
            problem.fingerprint,
            problem.gates,
            None if problem.truth is None else problem.truth.kind,
            samples.output,
            samples.batch_size,
            str(samples.model.device),
            torch.get_num_threads(),
            model_facts=canonical_json(problem.info["model"]) if "model" in problem.info else None,
        )

    def columns(self, unit: Unit, cell: Cell) -> dict[str, Any]:
        """Columns of a row that are known once the problem is there."""
        return {
            "explain_key": unit.explain_key(self.fingerprint),
            "score_key": unit.score_key(self.fingerprint, cell),
            **self.problem_columns(cell.spec),
        }

    def problem_columns(self, metric: Component) -> dict[str, Any]:
        """What the row of a metric says about the problem, whatever explainer it scored."""
        return {
            "fingerprint": self.fingerprint,
            "gate_passed": gates_hold(self.gates, self.n_functions),
            "gates": json.dumps([gate.document for gate in self.gates]),
            "truth_kind": self._truth_kind(metric),
            "output": self.output,
            "batch_size": self.batch_size,
            "device": self.device,
            "threads": self.threads,
            "model_facts": self.model_facts,
        }

    def _truth_kind(self, metric: Component) -> str | None:
        """What the truth is about: masks are about what the data set says, weights are those of the model."""
        return "model" if self.truth_kind is not None and metric.needs & ABOUT_MODEL else self.truth_kind


def component_columns(explaining: Component, explainer_params: str, scoring: MetricSpec, params: str) -> dict[str, Any]:
    """What a row says about its explainer and its metric; parameters are canonical JSON."""
    return {
        "explainer": explaining.name,
        "explainer_params": explainer_params,
        "metric": scoring.name,
        "params": params,
        "family": scoring.family,
        "higher_is_better": scoring.higher_is_better,
        "aggregate": scoring.aggregate,
        "scope": scoring.scope_of(json.loads(params)),
        "skill_valid": scoring.skill_valid,
        "control": is_control(explaining),
    }


def make_row(unit: Unit, cell: Cell, run: int, *, status: str, about: Facts | None = None, **columns: Any) -> Row:
    """A row with everything that is known about a cell; ``columns`` are those of what happened."""
    spec = unit.problem
    content = {} if about is None else about.columns(unit, cell)
    return Row(
        cell_id=cell.cell_id,
        lineage=cell.unversioned_id,
        unit_id=unit.unit_id,
        dataset=spec.labels[0],
        model=spec.labels[1],
        problem_seed=spec.seed,
        selection=spec.selection,
        seed=unit.seed,
        repeat=unit.repeat,
        versions=canonical_json({**unit.versions, "metric": cell.spec.version}),
        run=run,
        created=datetime.now(UTC),
        status=status,
        asked_output=cell.output,
        **component_columns(unit.spec, unit.explainer.keyed, cell.spec, cell.metric.keyed),
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
    torch = sys.modules.get("torch")  # one that is not imported has raised nothing
    out_of_memory = isinstance(error, MemoryError if torch is None else (MemoryError, torch.cuda.OutOfMemoryError))
    hint = error.hint if isinstance(error, XaibenchError) else None
    message = f"{text_of(error)}; {hint}" if hint else text_of(error)
    place = place_of(error)
    return {
        "status": "oom" if out_of_memory else "failed",
        "error_kind": type(error).__name__,
        "message": _storable(message) + (f" ({place})" if place else ""),
        "traceback": _storable("".join(traceback.format_exception(error))),
    }


def reason(columns: Mapping[str, Any]) -> str:
    """What a person reads of `failure`: kind and message, of what is unsupported the message alone."""
    kind = columns.get("error_kind")
    return f"{kind}: {columns['message']}" if kind else str(columns["message"])


def _storable(text: str) -> str:
    """Text that files can hold, without its middle where it is very long."""
    half = MOST_TEXT // 2
    return to_utf8(text if len(text) <= MOST_TEXT else f"{text[:half]}\n...\n{text[-half:]}")
