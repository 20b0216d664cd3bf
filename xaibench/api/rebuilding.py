"""Problems rebuilt from what a store says about them, with their kept explanations: examples and curves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from xaibench import suite as suites
from xaibench.core import registry, scoring
from xaibench.core.components import MetricSpec
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.keys import sample_ids
from xaibench.core.keys import seed as seed_of
from xaibench.core.problem import Problem
from xaibench.metrics.engines.removal import schedule
from xaibench.plan import Selection, problems
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.report.html.content import Curves, Gallery, Instance, Map, RemovalCurves
from xaibench.report.labels import metric_labels, variants
from xaibench.store import Store

CURVED = ("pixel_flipping", "deletion")
"""Metrics whose curve is that of removing features, most relevant first."""
NOTHING_KEPT = "no explanations were kept"
_SAME = 1e-3
"""Mean difference from the stored scores up to which a curve drawn again is that which was scored."""
_PROBLEM = ["dataset", "model", "selection"]


@dataclass(frozen=True)
class Rebuilt:
    """A problem as it was scored: its name, rows of one problem seed and seed, data, and the problem itself."""

    suite: str
    name: str
    rows: pd.DataFrame
    board: pd.DataFrame
    data: Data
    problem: Problem


def candidates(board: pd.DataFrame, limit: int) -> list[tuple[str, str, str, str]]:
    """Problems that examples can be shown of, as (suite, dataset, model, selection).

    All suites have their turn; within one, problems with a known truth come first.
    """
    shown = board[(board["status"] == "ok") & (board["truth_kind"].fillna("") != "program")]
    queues: list[list[tuple[str, str, str, str]]] = []
    for suite, part in shown.groupby("suite", sort=False):
        truths = part["family"].eq("ground_truth").groupby([part[c] for c in _PROBLEM], sort=False).any()
        ordered = [*truths[truths].index, *truths[~truths].index]
        queues.append([(str(suite), str(d), str(m), str(s)) for d, m, s in ordered])
    longest = max(map(len, queues), default=0)
    taken = [queue[i] for i in range(longest) for queue in queues if i < len(queue)]
    suites_in_order = list(dict.fromkeys(shown["suite"]))
    return sorted(taken[:limit], key=lambda key: suites_in_order.index(key[0]))


def rebuild(
    manifest: dict[str, Any],
    board: pd.DataFrame,
    cells: pd.DataFrame,
    key: tuple[str, str, str, str],
    made: Problems,
    plugins: frozenset[str] = frozenset(),
) -> Rebuilt:
    """Build a problem again, exactly the one that was scored.

    A store may come from anywhere: of the files and modules that its suite names components of, only
    those among ``plugins`` are loaded.

    Raises
    ------
    XaibenchError
        If it cannot be had: its components or data are not here, or its trained model is not in the cache.
    """
    suite, dataset, model, selection = key
    here = cells[(cells["dataset"] == dataset) & (cells["model"] == model) & (cells["selection"] == selection)]
    here = here[here["status"].isin(("ok", "undefined")) & here["explain_key"].notna() & (here["repeat"] == 0)]
    if here.empty:
        raise UnsupportedError("nothing was scored")
    first = here.sort_values(["problem_seed", "seed"], kind="stable").iloc[0]
    rows = here[(here["problem_seed"] == first["problem_seed"]) & (here["seed"] == first["seed"])]
    asked = rows["asked_output"]
    rows = rows.assign(asked_output=asked.where(asked.notna(), ""))
    named = _sources(manifest.get("resolved_suite", {})) - plugins
    if named:
        source = min(named)
        raise UnsupportedError(f"the suite uses components of {source}; --plugin {source} loads it")
    spec = _spec(manifest, dataset, model, selection, int(first["problem_seed"]))
    if spec is None:
        raise UnsupportedError("the suite of this run has no such problem")
    if made.fingerprint(spec) != first["fingerprint"]:
        raise UnsupportedError("the model that was explained is not in the cache")
    problem = made.prepare(spec)
    if problem.fingerprint != first["fingerprint"]:
        raise UnsupportedError("the model that was explained is not in the cache")
    part = board[board["suite"].eq(suite)]
    for column, wanted in zip(_PROBLEM, (dataset, model, selection), strict=True):
        part = part[part[column] == wanted]
    return Rebuilt(suite, f"{dataset}/{model}", rows, part, made.data(spec), problem)


def _sources(document: dict[str, Any]) -> set[str]:
    """Files and modules that a suite names components of, as ``file.py:name`` or ``module:name``."""
    entries = [e for kind in ("explainers", "interpreters", "metrics") for e in document.get(kind) or ()]
    for problem in document.get("problems") or ():
        entries += [problem.get("dataset"), problem.get("functions"), *(problem.get("models") or ())]
    names = (entry.get("name") if isinstance(entry, dict) else entry for entry in entries)
    own = {name.rpartition(":")[0] for name in names if isinstance(name, str) and ":" in name}
    return own.union(*(_sources(part) for part in document.get("parts") or () if isinstance(part, dict)))


def _spec(manifest: dict[str, Any], dataset: str, model: str, selection: str, seed: int) -> ProblemSpec | None:
    """The problem of a suite with these labels; a run may have been limited to fewer samples."""
    suite = suites.parse(manifest["resolved_suite"], source=manifest["suite"])
    size = re.match(r"test\[:(\d+)\]", selection)
    for matrix in suite.matrices():
        for spec in problems(matrix, Selection()):
            if isinstance(spec, ProblemSpec) and spec.labels == (dataset, model) and spec.seed == seed:
                sized = replace(spec, samples=int(size[1])) if size else spec
                if sized.selection == selection:
                    return sized
    return None


def gallery(found: Rebuilt, store: Store, n: int) -> Gallery:
    """Samples of a problem with their kept explanations: the worst ones of the best explainer, and some drawn.

    Raises
    ------
    UnsupportedError
        If no explanation was kept.
    """
    ids = sample_ids(found.problem.samples.digests)
    field = _judging(found.board)
    names = _names(found.board)
    scores = _scores(found.rows, field, ids)
    order = _order(found.board, field)
    maps = [(key, kept) for key in order if (kept := _kept(found, store, key)) is not None]
    if not maps:
        raise UnsupportedError(NOTHING_KEPT)
    label = "" if field is None else metric_labels(found.board)[field]
    higher = bool(_rows_of(found.board, field)["higher_is_better"].iloc[0]) if field is not None else True
    best = _good(found.board, field)
    chosen = _chosen(ids, scores.get(best) if best else None, higher, n, names.get(best, "") if best else "", label)
    instances = []
    for i, reason in chosen:
        instances.append(
            Instance(
                ids[i],
                reason,
                found.problem.samples.inputs[i].cpu().numpy(),
                _truth(found.problem, i),
                _target(found, i),
                tuple(
                    Map(names[key], kind, values[i].cpu().numpy(), float(scores[key][i]) if key in scores else np.nan)
                    for key, (values, kind) in maps
                ),
            )
        )
    data = found.data
    return Gallery(found.suite, found.name, data.features, data.feature_names, label, higher, tuple(instances))


Key = tuple[str, str]
Field = tuple[str, str, str]


def _names(board: pd.DataFrame) -> dict[Key, str]:
    return variants(zip(board["explainer"], board["explainer_params"], strict=True))


def _rows_of(board: pd.DataFrame, field: Field) -> pd.DataFrame:
    wanted = zip(("metric", "params", "asked_output"), field, strict=True)
    for column, value in wanted:
        board = board[board[column] == value]
    return board


def _judging(board: pd.DataFrame) -> Field | None:
    """The metric by which examples are chosen: the first of ground truth, else of faithfulness, per sample."""
    scored = board[(board["status"] == "ok") & (board["scope"].fillna("sample") != "dataset")]
    for family in ("ground_truth", "faithfulness"):
        rows = scored[(scored["family"] == family) & (scored["rank"].notna())]
        if len(rows):
            first = rows.iloc[0]
            return str(first["metric"]), str(first["params"]), str(first["asked_output"])
    return None


def _order(board: pd.DataFrame, field: Field | None) -> list[Key]:
    """Explainers from the best to the worst, then controls; the oracle shows nothing that the truth does not."""
    rows = board.assign(place=np.nan)
    if field is not None:
        chosen = _rows_of(board, field)
        rows = pd.concat([chosen.assign(place=chosen["rank"]), rows])
    rows = rows[rows["explainer"] != "oracle"].sort_values(["control", "place"], kind="stable")
    return [(str(e), str(p)) for e, p in rows[["explainer", "explainer_params"]].drop_duplicates().to_numpy()]


def _good(board: pd.DataFrame, field: Field | None) -> Key | None:
    """The best explainer by the judging metric that beats the placebos, else the best one."""
    if field is None:
        return None
    rows = _rows_of(board, field)
    rows = rows[rows["rank"].notna()].assign(lost=lambda r: ~r["beats_placebo"].fillna(False).astype(bool))
    best = rows.sort_values(["lost", "rank", "explainer", "explainer_params"], kind="stable")
    return (str(best.iloc[0]["explainer"]), str(best.iloc[0]["explainer_params"])) if len(best) else None


def _scores(rows: pd.DataFrame, field: Field | None, ids: list[str]) -> dict[Key, Any]:
    """Scores of every explainer by the judging metric, in the order of the samples."""
    if field is None:
        return {}
    found = {}
    for row in _rows_of(rows, field).to_dict("records"):
        by_id = dict(zip(row["sample_ids"], row["scores"], strict=True))
        found[row["explainer"], row["explainer_params"]] = np.array([by_id.get(i, np.nan) for i in ids])
    return found


def _kept(found: Rebuilt, store: Store, key: Key) -> tuple[torch.Tensor, str] | None:
    """Explanations (N, *feature_shape) as the store has them, with their kind."""
    rows = found.rows[(found.rows["explainer"] == key[0]) & (found.rows["explainer_params"] == key[1])]
    loaded = None if rows.empty else store.load_attributions(rows["explain_key"].iloc[0])
    if loaded is None or len(loaded[0]) != len(found.problem.samples):
        return None
    return loaded[0], loaded[1]


def _chosen(ids: list[str], scores: Any, higher: bool, n: int, explainer: str, metric: str) -> list[tuple[int, str]]:
    """Rows of the samples to show, each with the reason."""
    chosen: dict[int, str] = {}
    if scores is not None and np.isfinite(scores).any():
        order = np.argsort(np.where(np.isfinite(scores), scores if higher else -scores, np.inf), kind="stable")
        for place, i in enumerate(order[: min(max(n // 2, 1), int(np.isfinite(scores).sum()))]):
            nth = ("worst", "second worst", "third worst")[place] if place < 3 else f"{place + 1}th worst"
            chosen[int(i)] = f"{nth} {metric} of {explainer}, the first by mean score"
    draw = np.random.default_rng(seed_of("report", *ids)).permutation(len(ids))
    for i in draw.tolist():
        if len(chosen) >= n:
            break
        chosen.setdefault(i, "drawn at random")
    return list(chosen.items())


def _truth(problem: Problem, i: int) -> Any:
    truth = problem.truth
    if truth is None:
        return None
    shown = truth.mask if truth.mask is not None else truth.weights
    return None if shown is None else shown[i].cpu().numpy()


def _target(found: Rebuilt, i: int) -> str:
    samples, names = found.problem.samples, found.data.class_names
    if found.data.test_values is not None:
        return "explained: the value"

    def name(column: int) -> str:
        return names[column] if column < len(names) else str(column)

    target = int(samples.targets[i])
    label = None if samples.labels is None else int(samples.labels[i])
    return f"explained: {name(target)}" + (f", true: {name(label)}" if label not in (None, target) else "")


def curve_field(rows: pd.DataFrame) -> Field | None:
    """The removal metric whose curves can be drawn again."""
    for metric in CURVED:
        fit = rows[(rows["metric"] == metric) & (rows["status"] == "ok")]
        if len(fit):
            first = fit.iloc[0]
            return str(first["metric"]), str(first["params"]), str(first["asked_output"])
    return None


def curve_seconds(rows: pd.DataFrame) -> float:
    """What drawing the curves of a problem again should take: the time that they took to score."""
    field = curve_field(rows)
    return 0.0 if field is None else float(_rows_of(rows, field)["score_seconds"].fillna(0.0).sum())


def curves(found: Rebuilt, store: Store) -> tuple[Curves, list[str]]:
    """Removal curves of the kept explanations, and the explainers whose curves are not those that were scored.

    Raises
    ------
    UnsupportedError
        If no removal metric was scored, or nothing was kept.
    """
    field = curve_field(found.rows)
    if field is None:
        raise UnsupportedError(f"neither {' nor '.join(CURVED)} was scored")
    spec = cast(MetricSpec, registry.get("metric", field[0]))
    params, output = spec.bind(json.loads(field[1])), field[2] or None
    names, ids = _names(found.board), sample_ids(found.problem.samples.digests)
    scored = _scores(found.rows, field, ids)
    lines, differ, measured = [], [], ""
    for key, control in _curve_order(found.board, field):
        kept = _kept(found, store, key)
        if kept is None or key not in scored:
            continue
        seed = int(found.rows["seed"].iloc[0])
        ev = Evaluation.of(found.problem.view(seed), attributions=kept[0], kind=kept[1], truth=found.problem.truth)
        values = scoring.curve(spec, params, ev, output=output).numpy()
        again = scoring.score(spec, params, ev, output=output)
        if not _agree(again.values.numpy(), scored[key]):
            differ.append(names[key])
            continue
        measured = again.output
        lines.append(RemovalCurves(names[key], control, values))
    if not lines:
        raise UnsupportedError("evaluated again they do not give the stored scores" if differ else NOTHING_KEPT)
    n_features, steps = found.problem.samples.layout.n_features, lines[0].values.shape[1] - 1
    share = (schedule(n_features, steps) / n_features).numpy()
    label = metric_labels(found.board)[field]
    return Curves(found.suite, found.name, label, share, f"{measured} of the target", tuple(lines)), differ


def _agree(again: Any, stored: Any) -> bool:
    known = np.isfinite(again) & np.isfinite(stored)
    return bool(known.any()) and float(np.abs(again - stored)[known].mean()) <= _SAME * max(
        1.0, float(np.abs(stored[known]).mean())
    )


def _curve_order(board: pd.DataFrame, field: Field) -> Iterator[tuple[Key, bool]]:
    """Explainers by their value, the best first, then random and the oracle."""
    rows = _rows_of(board, field)
    rows = rows[rows["status"] == "ok"]
    rows = rows[~rows["control"].astype(bool) | rows["explainer"].isin(("random", "oracle"))]
    sign = -1.0 if bool(rows["higher_is_better"].iloc[0]) else 1.0
    order = {"random": 1, "oracle": 2}
    rows = rows.assign(_at=sign * rows["value"], _c=[order.get(e, 0) for e in rows["explainer"]])
    for row in rows.sort_values(["_c", "_at"], kind="stable").to_dict("records"):
        yield (str(row["explainer"]), str(row["explainer_params"])), bool(row["control"])
