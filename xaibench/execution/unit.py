"""Running one unit: explain once, score with every metric that is due."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import StoreError
from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import sample_ids, unit_ids
from xaibench.core.masking.maskers import MASKERS_VERSION
from xaibench.core.problem import Problem
from xaibench.core.scoring import Explainer, attribution_kind, channel_handling, explain_function, score
from xaibench.core.storage.cache import SharedCache
from xaibench.execution.row_building import Facts, failure, make_row
from xaibench.execution.stored_examples import is_drawn, save_curve
from xaibench.plan import Cell, Unit
from xaibench.store import Row, Store


@dataclass(frozen=True)
class Explanation:
    """Attributions of a unit, fresh or from the store."""

    attributions: Tensor
    kind: str
    seconds: float
    cached: bool
    layer_used: str | None = None


class ProblemCaches:
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


def score_unit(
    unit: Unit,
    cells: Iterable[Cell],
    bench: ProblemCaches,
    about: Facts,
    store: Store,
    run: int,
    *,
    fresh: bool = False,
    explained: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """Explain, then score with one metric after the other; whatever goes wrong with a cell becomes its row.

    With ``fresh``, attributions in the store are not used; ``explained`` is called when they are there.

    Yields
    ------
    Row
        One per cell, as soon as it is known.
    """
    problem = bench.problem
    spec = cast(ExplainerSpec, unit.spec)
    view = problem.view(unit.seed, needs=spec.needs)
    stream = f"explain/{spec.name}" + (f"/{unit.repeat}" if unit.repeat else "")
    try:
        explainer = Explainer(explain_function(spec, unit.explainer.params), view, stream)
        explanation = _explain(unit, problem, explainer, store, fresh)
    except StoreError:
        raise
    except (Exception, SystemExit) as error:
        columns = failure(error)
        for cell in cells:
            yield make_row(unit, cell, run, about=about, **columns)
        return
    explained()
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
    for cell in cells:
        row = _score(unit, cell, ev, explanation, problem, about, run)
        if row.status == "ok" and row.score_key is not None and is_drawn(unit, cell):
            save_curve(store, row.score_key, cell, ev, str(row.output))
        yield row


def _explain(unit: Unit, problem: Problem, explainer: Explainer, store: Store, fresh: bool) -> Explanation:
    """Take the attributions from the store, or make and store them."""
    key = unit.explain_key(problem.fingerprint)
    spec, params = cast(ExplainerSpec, unit.spec), unit.explainer.params
    layer = None if spec.layer_used is None else spec.layer_used(explainer.view, **params)
    found = None if fresh else store.load_attributions(key)
    if found is not None:
        attributions, kind, seconds = found
        return Explanation(attributions.to(explainer.view.inputs.device), kind, seconds, True, layer)
    started = time.perf_counter()
    attributions = explainer()
    seconds = time.perf_counter() - started
    kind = attribution_kind(spec, explainer.view, params)
    store.save_attributions(key, attributions, kind=kind, seconds=seconds)
    return Explanation(attributions, kind, seconds, False, layer)


def _score(
    unit: Unit, cell: Cell, ev: Evaluation, explanation: Explanation, problem: Problem, about: Facts, run: int
) -> Row:
    model = ev.model
    before, started = model.n_evaluations, time.perf_counter()
    facts: dict[str, Any] = {
        "about": about,
        "attribution_kind": explanation.kind,
        "explain_seconds": explanation.seconds,
        "explain_cached": explanation.cached,
        "layer_used": explanation.layer_used,
    }
    try:
        scores = score(cell.spec, cell.metric.params, ev, output=cell.output)
    except (Exception, SystemExit) as error:
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
