"""Running one unit: explain once, score with every metric that is due."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.errors import StoreError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import Explainer, attribution_kind, channel_handling, check_masker, explain_function
from xaibench.core.keys import sample_ids, unit_ids
from xaibench.core.masking.maskers import MASKERS_VERSION
from xaibench.core.problem import Problem
from xaibench.core.samples_of_labels import cluster_means
from xaibench.core.scoring import score
from xaibench.core.storage.cache import SharedCache
from xaibench.execution.memory import MemoryStage
from xaibench.execution.row_building import Facts, failure, make_row
from xaibench.execution.stored_examples import is_drawn, save_curve
from xaibench.plan import Cell, Unit
from xaibench.store import Row, Store


@dataclass(frozen=True)
class Explanation:
    """Attributions of a unit, fresh or from the store; ``channels`` says how maps made elsewhere were summed."""

    attributions: Tensor
    kind: str
    seconds: float
    cached: bool
    layer_used: str | None = None
    channels: str | None = None
    memory: int | None = None


class ProblemCaches:
    """A prepared problem with the caches that its units share."""

    def __init__(self, problem: Problem, cache: Path | None) -> None:
        self.problem = problem
        self.cache = cache
        self._shared: dict[tuple[int, str | None], SharedCache] = {}

    def shared(self, seed: int, source: str | None = None) -> SharedCache:
        """Evaluations that do not depend on the explanation, for one seed; of metrics of one's own by their source."""
        key = (seed, source)
        if key not in self._shared:
            folder = None if self.cache is None else self.cache / "evaluations"
            model = self.problem.samples.model
            scope = (
                self.problem.fingerprint,
                str(seed),
                self.problem.samples.output,
                model.device.type,
                f"batch {self.problem.samples.batch_size}",
                f"threads {torch.get_num_threads()}",
                torch.__version__,
                f"maskers {MASKERS_VERSION}",
                *([] if source is None else [f"source {source}"]),
            )
            others = {k: cache for k, cache in self._shared.items() if k[0] == seed}
            self._shared = {**others, key: SharedCache(folder, scope)}
        return self._shared[key]


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
        source = cell.spec.code_digest
        seen = ev if source is None else replace(ev, shared=bench.shared(unit.seed, source))
        row = _score(unit, cell, seen, explanation, about, run)
        if row.status == "ok" and row.score_key is not None and is_drawn(unit, cell):
            save_curve(store, row.score_key, cell, seen, str(row.output))
        yield row


def _explain(unit: Unit, problem: Problem, explainer: Explainer, store: Store, fresh: bool) -> Explanation:
    """Take the attributions from the store, or make and store them."""
    key = unit.explain_key(problem.fingerprint)
    spec, params = cast(ExplainerSpec, unit.spec), unit.explainer.params
    layer = None if spec.layer_used is None else spec.layer_used(explainer.view, **params)
    channels = None if spec.channels_used is None else spec.channels_used(explainer.view, **params)
    found = None if fresh else store.load_attributions(key)
    if found is not None:
        attributions, kind, seconds = found
        return Explanation(attributions.to(explainer.view.inputs.device), kind, seconds, True, layer, channels)
    check_masker(params, explainer.view)
    stage, started = MemoryStage.begin(problem.samples.model.device), time.perf_counter()
    attributions = explainer()
    seconds, memory = time.perf_counter() - started, stage.bytes()
    kind = attribution_kind(spec, explainer.view, params)
    sizes = explainer.view.sizes
    store.save_attributions(key, attributions, kind=kind, seconds=seconds, sizes=None if sizes is None else sizes.cpu())
    return Explanation(attributions, kind, seconds, False, layer, channels, memory)


def _score(unit: Unit, cell: Cell, ev: Evaluation, explanation: Explanation, about: Facts, run: int) -> Row:
    columns = {
        **explanation_columns(explanation),
        **score_columns(
            cell.spec,
            cell.metric.params,
            ev,
            explainer_params=unit.explainer.params,
            channels=explanation.channels,
            output=cell.output,
            measure_memory=True,
        ),
    }
    return make_row(unit, cell, run, about=about, **columns)


def explanation_columns(explanation: Explanation) -> dict[str, Any]:
    """What a row says about the explanation that was scored."""
    return {
        "attribution_kind": explanation.kind,
        "explain_seconds": explanation.seconds,
        "explain_memory": explanation.memory,
        "explain_cached": explanation.cached,
        "layer_used": explanation.layer_used,
    }


def score_columns(
    spec: MetricSpec,
    params: Mapping[str, Any],
    ev: Evaluation,
    *,
    explainer_params: Mapping[str, Any],
    channels: str | None = None,
    output: str | None = None,
    measure_memory: bool = False,
) -> dict[str, Any]:
    """Score, and say what came of it; whatever goes wrong becomes a status with its reason.

    Parameters
    ----------
    spec : MetricSpec
    params : mapping
        Bound parameters of the metric.
    ev : Evaluation
    explainer_params : mapping
        Bound parameters of the explainer.
    channels : str, optional
        How several channels became one number, where the maps were made elsewhere.
    output : str, optional
        Measure this output, whatever the metric's rule.
    measure_memory : bool
        Record peak memory, which resets a counter of the whole process.

    Returns
    -------
    dict
        Columns of a row.
    """
    model = ev.model
    stage = MemoryStage.begin(model.device) if measure_memory else MemoryStage(None)
    before, started = model.n_evaluations, time.perf_counter()
    try:
        scores = score(spec, params, ev, output=output)
    except (Exception, SystemExit) as error:
        return {"score_seconds": time.perf_counter() - started, "score_memory": stage.bytes(), **failure(error)}
    memory = stage.bytes()
    found, digests = scores.values, ev.digests
    over_data = spec.scope_of(params) == "dataset"
    if ev.clusters is not None and not over_data:
        # Samples of one row are not independent: the row is what intervals and tests count.
        found, digests = cluster_means(found, ev.clusters, log10=spec.aggregate == "median_log10")
    values = found.tolist()
    n_undefined = sum(math.isnan(v) for v in values)
    nothing = f"no {'repeat' if over_data else 'sample'} has a defined score"
    return {
        "status": "undefined" if n_undefined == len(values) else "ok",
        "message": nothing if n_undefined == len(values) else None,
        "scores": values,
        "sample_ids": unit_ids(len(values)) if over_data else sample_ids(digests),
        "n": len(values),
        "n_undefined": n_undefined,
        "output": scores.output,
        "conversion": scores.conversion,
        "sign": scores.sign,
        "channels": channels or channel_handling(ev.encoded_layout, explainer_params),
        "score_seconds": time.perf_counter() - started,
        "score_memory": memory,
        "n_evaluations": model.n_evaluations - before,
    }
