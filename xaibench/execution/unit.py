"""One unit in, one result out: explain once, score with every metric that is due."""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from xaibench.core.cache import SharedCache
from xaibench.core.calls import Explainer, attribution_kind, channel_handling, explain_function, score
from xaibench.core.components import Component, ExplainerSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import canonical_json, sample_ids, unit_ids
from xaibench.core.maskers import MASKERS_VERSION
from xaibench.core.problem import Problem
from xaibench.core.program_evaluation import FunctionProblem
from xaibench.plan import Cell, Unit, unsupported_key
from xaibench.store import Row, Store


@dataclass(frozen=True)
class Explanation:
    """Attributions of a unit, fresh or from the store."""

    attributions: Tensor
    kind: str
    seconds: float
    cached: bool


class Workbench:
    """A prepared problem with the caches that its units share."""

    def __init__(self, problem: Problem, cache: Path | None) -> None:
        self.problem = problem
        self.cache = cache
        self._shared: dict[int, SharedCache] = {}

    def shared(self, seed: int) -> SharedCache:
        """Evaluations that do not depend on the explanation, for one seed."""
        if seed not in self._shared:
            folder = None if self.cache is None else self.cache / "evaluations"
            model = self.problem.samples.model
            scope = (
                self.problem.fingerprint,
                str(seed),
                self.problem.samples.output,
                model.device.type,
                f"batch {model.batch_size(self.problem.samples.inputs)}",
                f"threads {torch.get_num_threads()}",
                torch.__version__,
                f"maskers {MASKERS_VERSION}",
            )
            self._shared = {seed: SharedCache(folder, scope)}
        return self._shared[seed]


def run_unit(
    unit: Unit, cells: Iterable[Cell], bench: Workbench, store: Store, run: int, *, fresh: bool = False
) -> list[Row]:
    """Explain and score; whatever goes wrong with a cell becomes its row.

    With ``fresh``, attributions in the store are not used.

    Returns
    -------
    list of Row
        One per cell, also written to the store as one part.
    """
    wanted = list(cells)
    problem = bench.problem
    spec = cast(ExplainerSpec, unit.spec)
    view = problem.view(unit.seed, needs=spec.needs)
    stream = f"explain/{spec.name}" + (f"/{unit.repeat}" if unit.repeat else "")
    try:
        explainer = Explainer(explain_function(spec, unit.explainer.params), view, stream)
        explanation = _explain(unit, problem, explainer, store, fresh)
    except Exception as error:
        rows = [make_row(unit, cell, run, problem=problem, **failure(error)) for cell in wanted]
    else:
        ev = Evaluation.of(
            view,
            attributions=explanation.attributions,
            kind=explanation.kind,
            truth=problem.truth,
            explainer=explainer,
            shared=bench.shared(unit.seed),
            retraining=problem.retraining,
            pairs=problem.pairs,
        )
        rows = [_score(unit, cell, ev, explanation, problem, run) for cell in wanted]
    store.write_part(rows)
    return rows


def _explain(unit: Unit, problem: Problem, explainer: Explainer, store: Store, fresh: bool) -> Explanation:
    """Take the attributions from the store, or make them and keep them there."""
    key = unit.explain_key(problem.fingerprint)
    found = None if fresh else store.load_attributions(key)
    if found is not None:
        attributions, kind, seconds = found
        return Explanation(attributions.to(explainer.view.inputs.device), kind, seconds, cached=True)
    started = time.perf_counter()
    attributions = explainer()
    seconds = time.perf_counter() - started
    kind = attribution_kind(cast(ExplainerSpec, unit.spec), explainer.view, unit.explainer.params)
    store.save_attributions(key, attributions, kind=kind, seconds=seconds)
    return Explanation(attributions, kind, seconds, cached=False)


def _score(unit: Unit, cell: Cell, ev: Evaluation, explanation: Explanation, problem: Problem, run: int) -> Row:
    model = ev.model
    before, started = model.n_evaluations, time.perf_counter()
    facts: dict[str, Any] = {
        "problem": problem,
        "attribution_kind": explanation.kind,
        "explain_seconds": explanation.seconds,
        "explain_cached": explanation.cached,
    }
    try:
        scores = score(cell.spec, cell.metric.params, ev, output=cell.output)
    except Exception as error:
        return make_row(unit, cell, run, score_seconds=time.perf_counter() - started, **facts, **failure(error))
    values = scores.values.tolist()
    n_undefined = sum(math.isnan(v) for v in values)
    over_data = cell.spec.scope == "dataset"
    return make_row(
        unit,
        cell,
        run,
        status="undefined" if n_undefined == len(values) else "ok",
        message=f"no {'repeat' if over_data else 'sample'} has a defined score" if n_undefined == len(values) else None,
        scores=values,
        sample_ids=unit_ids(len(values)) if over_data else sample_ids(ev.digests),
        n=len(values),
        n_undefined=n_undefined,
        output=scores.output,
        conversion=scores.conversion,
        sign=scores.sign,
        channels=channel_handling(problem.samples.layout, unit.explainer.params),
        score_seconds=time.perf_counter() - started,
        n_evaluations=model.n_evaluations - before,
        **facts,
    )


def unsupported_row(
    unit: Unit, cell: Cell, run: int, reason: str, problem: Problem | FunctionProblem | None = None
) -> Row:
    """The row of a cell that cannot be had, and why."""
    return make_row(
        unit, cell, run, problem=problem, status="unsupported", message=reason, score_key=unsupported_key(reason)
    )


def failure(error: BaseException) -> dict[str, Any]:
    """Status, kind, message and traceback of an exception, as columns of a row."""
    if isinstance(error, UnsupportedError):
        return {"status": "unsupported", "message": error.message}
    out_of_memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
    return {
        "status": "oom" if out_of_memory else "failed",
        "error_kind": type(error).__name__,
        "message": str(error) or type(error).__name__,
        "traceback": "".join(traceback.format_exception(error)),
    }


def _truth_kind(problem: Problem, metric: Component) -> str | None:
    """What the truth is about: masks are about what the data set says, weights are those of the model."""
    if problem.truth is None:
        return None
    return "model" if "truth.weights" in metric.needs else problem.truth.kind


def _content(unit: Unit, cell: Cell, problem: Problem | FunctionProblem) -> dict[str, Any]:
    """Columns that are known once the problem is there."""
    content = {
        "fingerprint": problem.fingerprint,
        "explain_key": unit.explain_key(problem.fingerprint),
        "score_key": unit.score_key(problem.fingerprint, cell),
        "gate_passed": problem.gate_passed,
        "gates": json.dumps([{**asdict(g), "passed": g.passed} for g in problem.gates]),
        "threads": torch.get_num_threads(),
    }
    if isinstance(problem, FunctionProblem):
        return {**content, "truth_kind": "program", "threads": 1, "device": "cpu"}
    samples = problem.samples
    return {
        **content,
        "truth_kind": _truth_kind(problem, cell.spec),
        "output": samples.output,
        "batch_size": samples.model.batch_size(samples.inputs),
        "device": str(samples.model.device),
    }


def make_row(
    unit: Unit, cell: Cell, run: int, *, status: str, problem: Problem | FunctionProblem | None = None, **facts: Any
) -> Row:
    """A row with everything that is known about a cell; ``facts`` are the columns of what happened."""
    spec, metric = unit.problem, cell.spec
    content = {} if problem is None else _content(unit, cell, problem)
    return Row(
        cell_id=cell.cell_id,
        lineage=cell.lineage,
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
        **{**content, **facts},
    )
