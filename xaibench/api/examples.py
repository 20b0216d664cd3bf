"""What the report shows of single problems: samples with their stored explanations, and removal curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.flags import is_true
from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import seed as seed_of
from xaibench.core.problem import Problem
from xaibench.core.types import Array, ExplainerKey
from xaibench.execution.curve_evaluation import NOTHING_STORED, removal_curves
from xaibench.execution.reconstruction import MeasureKey, ScoredProblem, board_rows_of
from xaibench.report.html.content import Curves, ExplainerCurves, Gallery, Instance, Map
from xaibench.report.labels import metric_labels, variants
from xaibench.store import Store

_PROBLEM = ["dataset", "model", "selection"]


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


def gallery(found: ScoredProblem, store: Store, n: int) -> Gallery:
    """Samples of a problem with their stored explanations: the worst ones of the best explainer, and some drawn.

    Raises
    ------
    UnsupportedError
        If no explanation was stored.
    """
    ids = found.sample_ids
    measure = _judging(found.board)
    names = _names(found.board)
    scores = {} if measure is None else found.scores(measure)
    order = _order(found.board, measure)
    maps = [(entry, stored) for entry in order if (stored := found.explanations(store, entry)) is not None]
    if not maps:
        raise UnsupportedError(NOTHING_STORED)
    label = "" if measure is None else metric_labels(found.board)[measure]
    higher = bool(board_rows_of(found.board, measure)["higher_is_better"].iloc[0]) if measure is not None else True
    best = _best(found.board, measure)
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
                    Map(names[e], kind, values[i].cpu().numpy(), float(scores[e][i]) if e in scores else np.nan)
                    for e, (values, kind) in maps
                ),
            )
        )
    data = found.data
    return Gallery(found.suite, found.name, data.features, data.feature_names, label, higher, tuple(instances))


def curves(found: ScoredProblem, store: Store) -> tuple[Curves, list[str]]:
    """Removal curves of a problem, and the labels of explainers whose curves are not those that were scored.

    Raises
    ------
    UnsupportedError
        As `removal_curves`.
    """
    made, names = removal_curves(found, store), _names(found.board)
    lines = tuple(
        ExplainerCurves(names[entry], entry in made.controls, values) for entry, values in made.values.items()
    )
    label = metric_labels(found.board)[made.measure]
    shown = Curves(found.suite, found.name, label, made.share, f"{made.output} of the target", lines)
    return shown, [names[entry] for entry in made.different]


def _names(board: pd.DataFrame) -> dict[ExplainerKey, str]:
    return variants(zip(board["explainer"], board["explainer_params"], strict=True))


def _judging(board: pd.DataFrame) -> MeasureKey | None:
    """The metric by which examples are chosen: the first of ground truth, else of faithfulness, per sample."""
    scored = board[(board["status"] == "ok") & (board["scope"].fillna("sample") != "dataset")]
    for family in ("ground_truth", "faithfulness"):
        rows = scored[(scored["family"] == family) & (scored["rank"].notna())]
        if len(rows):
            first = rows.iloc[0]
            return str(first["metric"]), str(first["params"]), str(first["asked_output"])
    return None


def _order(board: pd.DataFrame, measure: MeasureKey | None) -> list[ExplainerKey]:
    """Explainers from the best to the worst, then controls; the oracle shows nothing that the truth does not."""
    rows = board.assign(place=np.nan)
    if measure is not None:
        chosen = board_rows_of(board, measure)
        rows = pd.concat([chosen.assign(place=chosen["rank"]), rows])
    rows = rows[rows["explainer"] != "oracle"].sort_values(["control", "place"], kind="stable")
    return [(str(e), str(p)) for e, p in rows[["explainer", "explainer_params"]].drop_duplicates().to_numpy()]


def _best(board: pd.DataFrame, measure: MeasureKey | None) -> ExplainerKey | None:
    """The best explainer by the judging metric that beats the placebos, else the best one."""
    if measure is None:
        return None
    rows = board_rows_of(board, measure)
    rows = rows[rows["rank"].notna()].assign(lost=lambda r: ~is_true(r["beats_placebo"]))
    best = rows.sort_values(["lost", "rank", "explainer", "explainer_params"], kind="stable")
    return (str(best.iloc[0]["explainer"]), str(best.iloc[0]["explainer_params"])) if len(best) else None


def _chosen(
    ids: list[str], scores: Array | None, higher: bool, n: int, explainer: str, metric: str
) -> list[tuple[int, str]]:
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


def _target(found: ScoredProblem, i: int) -> str:
    samples, names = found.problem.samples, found.data.class_names
    if found.data.test_values is not None:
        return "explained: the value"

    def name(column: int) -> str:
        return names[column] if column < len(names) else str(column)

    target = int(samples.targets[i])
    label = None if samples.labels is None else int(samples.labels[i])
    return f"explained: {name(target)}" + (f", true: {name(label)}" if label not in (None, target) else "")
