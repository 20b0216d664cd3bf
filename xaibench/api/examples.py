"""What the report shows of single problems, from the store: samples with their explanations, and removal curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from xaibench.analysis.flags import is_true
from xaibench.analysis.leaderboard.columns import PROBLEM
from xaibench.analysis.mean_curves import MeanCurve
from xaibench.api.shown_series import filled, shown_masker, time_first
from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import seed as seed_of
from xaibench.core.types import Array, ExplainerKey
from xaibench.report.html.content import Curves, ExplainerCurves, Gallery, GraphShape, Instance, Map
from xaibench.report.labels import metric_labels, problem_label, variants
from xaibench.report.single_cells import marked
from xaibench.store import Store, StoredExamples
from xaibench.store.examples import CURVED

MeasureKey = tuple[str, str, str]
"""A metric: its name, its parameters as JSON, and the output that it is asked for."""
NO_EXAMPLES = "the store holds no example inputs: the run was made with --no-examples, or before there were any"
NO_EXPLANATIONS = "no explanations are stored"
NO_CURVES = "the store holds no curves: the run was made before there were any; `xaibench run --rerun all` adds them"


@dataclass(frozen=True)
class ScoredProblem:
    """A problem as it was scored.

    Attributes
    ----------
    suite, name : str
    rows : DataFrame
        Cells of one problem seed, one seed and the first repeat that have results.
    board : DataFrame
        Its part of the leaderboard.
    """

    suite: str
    name: str
    rows: pd.DataFrame
    board: pd.DataFrame

    def scores(self, measure: MeasureKey) -> dict[ExplainerKey, dict[str, float]]:
        """Stored scores of every explainer by one metric, by the name of the sample."""
        rows = rows_of_measure(self.rows, measure).to_dict("records")
        return {
            (row["explainer"], row["explainer_params"]): dict(zip(row["sample_ids"], row["scores"], strict=True))
            for row in rows
        }


def rows_of_measure(frame: pd.DataFrame, measure: MeasureKey) -> pd.DataFrame:
    """Rows of a leaderboard, or of cells, that are of one metric."""
    for column, value in zip(("metric", "params", "asked_output"), measure, strict=True):
        frame = frame[frame[column] == value]
    return frame


def candidates(board: pd.DataFrame, limit: int) -> list[tuple[str, str, str, str]]:
    """Problems that examples can be shown of, as (suite, dataset, model, selection).

    All suites have their turn; within one, problems with a known truth come first.
    """
    shown = board[(board["status"] == "ok") & (board["truth_kind"].fillna("") != "program")]
    queues: list[list[tuple[str, str, str, str]]] = []
    for suite, part in shown.groupby("suite", sort=False):
        truths = part["family"].eq("ground_truth").groupby([part[c] for c in PROBLEM], sort=False).any()
        ordered = [*truths[truths].index, *truths[~truths].index]
        queues.append([(str(suite), str(d), str(m), str(s)) for d, m, s in ordered])
    longest = max(map(len, queues), default=0)
    taken = [queue[i] for i in range(longest) for queue in queues if i < len(queue)]
    suites_in_order = list(dict.fromkeys(shown["suite"]))
    return sorted(taken[:limit], key=lambda key: suites_in_order.index(key[0]))


def scored_problem(board: pd.DataFrame, cells: pd.DataFrame, key: tuple[str, str, str, str]) -> ScoredProblem:
    """The results of one problem: those of its first problem seed and seed.

    Raises
    ------
    UnsupportedError
        If nothing was scored.
    """
    suite, *problem = key
    part, here = board[board["suite"].eq(suite)], cells
    for column, wanted in zip(PROBLEM, problem, strict=True):
        part, here = part[part[column] == wanted], here[here[column] == wanted]
    here = here[here["status"].isin(("ok", "undefined")) & here["explain_key"].notna() & (here["repeat"] == 0)]
    if here.empty:
        raise UnsupportedError("nothing was scored")
    first = here.sort_values(["problem_seed", "seed"], kind="stable").iloc[0]
    rows = here[(here["problem_seed"] == first["problem_seed"]) & (here["seed"] == first["seed"])]
    asked = rows["asked_output"]
    rows = rows.assign(asked_output=asked.where(asked.notna(), ""))
    return ScoredProblem(suite, problem_label(*problem), rows, part)


def gallery(found: ScoredProblem, store: Store, n: int) -> Gallery:
    """Samples of a problem with their stored explanations: the worst ones of the best explainer, and some drawn.

    Raises
    ------
    UnsupportedError
        If no inputs or no explanation are stored.
    """
    stored = store.load_examples(str(found.rows["fingerprint"].iloc[0]))
    if stored is None:
        raise UnsupportedError(NO_EXAMPLES)
    ids = list(stored.sample_ids)
    measure = _judging(found.board)
    names = _names(found.board)
    by_sample = {} if measure is None else found.scores(measure)
    scores = {e: np.array([of.get(i, np.nan) for i in ids]) for e, of in by_sample.items()}
    maps = list(_maps(found, store, _order(found.board, measure), stored))
    if not maps:
        raise UnsupportedError(NO_EXPLANATIONS)
    label = "" if measure is None else metric_labels(found.board)[measure]
    higher = bool(rows_of_measure(found.board, measure)["higher_is_better"].iloc[0]) if measure is not None else True
    best = _best(found.board, measure)
    own = scores.get(best) if best else None
    whole = stored.n_samples == len(ids)
    chosen = _chosen(ids, own, higher, n, names.get(best, "") if best else "", label, whole)
    removal = shown_masker(found.rows) if stored.features == "series" else None
    means = None if stored.sensor_means is None else stored.sensor_means.numpy()
    instances, filled_by = [], ""
    for i, reason in chosen:
        truth = None if stored.truth is None else time_first(stored.truth[i].numpy(), stored)
        shown = tuple(
            Map(names[e], kind, time_first(values[i], stored), float(scores[e][i]) if e in scores else np.nan)
            for e, values, kind in maps
        )
        inputs = time_first(stored.inputs[i].numpy(), stored)
        words = stored.words[i] if stored.words else ()
        instance = Instance(ids[i], stored.index[i], reason, inputs, truth, _target(stored, i), shown, words)
        line = None if removal is None else filled(inputs, means, removal)
        if removal is not None and line is not None:
            instance = replace(instance, filled=line[0])
            filled_by = f"{removal['masker']} puts in the place of each {line[1]} ({removal['metric']})"
        instances.append(replace(instance, graph=_graph(stored, i)))
    return Gallery(
        found.suite, found.name, stored.features, stored.feature_names, label, higher, tuple(instances), filled_by
    )


def _graph(stored: StoredExamples, i: int) -> GraphShape | None:
    """The structure of a stored graph; None of other data."""
    if not stored.structure:
        return None
    own = {name: values[i].numpy() for name, values in stored.structure.items()}
    edges, nodes = int(own["edges"]), int(own["nodes"])
    return GraphShape(own["src"][:edges], own["dst"][:edges], nodes, int(own["target"]), own["classes"][:nodes])


def _maps(
    found: ScoredProblem, store: Store, order: list[ExplainerKey], stored: StoredExamples
) -> Iterator[tuple[ExplainerKey, Array, str]]:
    """Stored explanations (samples, *feature_shape) of the stored samples, with their kind."""
    ids = stored.sample_ids
    per_sample = found.rows[found.rows["scope"].fillna("sample") != "dataset"]
    for entry in order:
        rows = per_sample[(per_sample["explainer"] == entry[0]) & (per_sample["explainer_params"] == entry[1])]
        loaded = None if rows.empty else store.load_attributions(rows["explain_key"].iloc[0])
        if loaded is None:
            continue
        names = list(rows["sample_ids"].iloc[0])
        # Equal rows of a data set have one name, and equal explanations.
        place = {name: k for k, name in enumerate(names)}
        if len(loaded[0]) == len(names) and all(name in place for name in ids):
            yield entry, loaded[0].numpy()[[place[name] for name in ids]], loaded[1]
        elif len(loaded[0]) > len(names):
            # A row with several labels has an explanation of each.
            yield entry, loaded[0].numpy()[list(stored.index)], loaded[1]


def curve_measure(rows: pd.DataFrame) -> MeasureKey | None:
    """The removal metric whose curves are shown: the first of `CURVED` that has scores; None if none has."""
    for metric in CURVED:
        fit = rows[(rows["metric"] == metric) & (rows["status"] == "ok")]
        if len(fit):
            first = fit.iloc[0]
            return str(first["metric"]), str(first["params"]), str(first["asked_output"])
    return None


def curves(found: ScoredProblem, store: Store) -> Curves:
    """Removal curves of a problem.

    Raises
    ------
    UnsupportedError
        If no removal metric was scored, or no curve is stored.
    """
    measure = curve_measure(found.rows)
    if measure is None:
        raise UnsupportedError(f"neither {' nor '.join(CURVED)} was scored")
    names, keys = _names(found.board), rows_of_measure(found.rows, measure)
    by_entry = {(r["explainer"], r["explainer_params"]): r["score_key"] for r in keys.to_dict("records")}
    lines, output, share = [], "", np.empty(0)
    for entry, control in _curve_order(found.board, measure):
        stored = store.load_curve(by_entry[entry]) if entry in by_entry else None
        if stored is None:
            continue
        mean, low, high, share = (t.numpy().astype(float) for t in (stored.mean, stored.low, stored.high, stored.share))
        output = stored.output
        lines.append(ExplainerCurves(names[entry], control, MeanCurve(mean, low, high), stored.n_samples))
    if not lines:
        raise UnsupportedError(NO_CURVES)
    label = metric_labels(found.board)[measure]
    return Curves(found.suite, found.name, label, share, f"{output.replace('_', ' ')} of the target", tuple(lines))


def _curve_order(board: pd.DataFrame, measure: MeasureKey) -> Iterator[tuple[ExplainerKey, bool]]:
    """Explainers by their value, the best first, then random and the oracle."""
    rows = rows_of_measure(board, measure)
    rows = rows[rows["status"] == "ok"]
    rows = rows[~rows["control"].astype(bool) | rows["explainer"].isin(("random", "oracle"))]
    sign = -1.0 if bool(rows["higher_is_better"].iloc[0]) else 1.0
    order = {"random": 1, "oracle": 2}
    rows = rows.assign(_at=sign * rows["value"], _c=[order.get(e, 0) for e in rows["explainer"]])
    for row in rows.sort_values(["_c", "_at"], kind="stable").to_dict("records"):
        yield (str(row["explainer"]), str(row["explainer_params"])), bool(row["control"])


def _names(board: pd.DataFrame) -> dict[ExplainerKey, str]:
    found = variants(zip(board["explainer"], board["explainer_params"], strict=True))
    return {key: marked(name, key[1]) for key, name in found.items()}


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
        chosen = rows_of_measure(board, measure)
        rows = pd.concat([chosen.assign(place=chosen["rank"]), rows])
    rows = rows[rows["explainer"] != "oracle"].sort_values(["control", "place"], kind="stable")
    return [(str(e), str(p)) for e, p in rows[["explainer", "explainer_params"]].drop_duplicates().to_numpy()]


def _best(board: pd.DataFrame, measure: MeasureKey | None) -> ExplainerKey | None:
    """The best explainer by the judging metric that beats the placebos, else the best one."""
    if measure is None:
        return None
    rows = rows_of_measure(board, measure)
    rows = rows[rows["rank"].notna()].assign(lost=lambda r: ~is_true(r["beats_placebo"]))
    best = rows.sort_values(["lost", "rank", "explainer", "explainer_params"], kind="stable")
    return (str(best.iloc[0]["explainer"]), str(best.iloc[0]["explainer_params"])) if len(best) else None


def _chosen(
    ids: list[str], scores: Array | None, higher: bool, n: int, explainer: str, metric: str, whole: bool
) -> list[tuple[int, str]]:
    """Rows of the samples to show, each with the reason."""
    chosen: dict[int, str] = {}
    if scores is not None and np.isfinite(scores).any():
        order = np.argsort(np.where(np.isfinite(scores), scores if higher else -scores, np.inf), kind="stable")
        among = "" if whole else f" among the {len(ids)} stored samples"
        for place, i in enumerate(order[: min(max(n // 2, 1), int(np.isfinite(scores).sum()))]):
            nth = ("worst", "second worst", "third worst")[place] if place < 3 else f"{place + 1}th worst"
            chosen[int(i)] = f"{nth} {metric} of {explainer}{among}, the first by mean score"
    draw = np.random.default_rng(seed_of("report", *ids)).permutation(len(ids))
    for i in draw.tolist():
        if len(chosen) >= n:
            break
        chosen.setdefault(i, "drawn at random")
    return list(chosen.items())


def _target(stored: StoredExamples, i: int) -> str:
    target, label = stored.targets[i], stored.labels[i]
    return f"explained: {target}" + (f", true: {label}" if label not in ("", target) else "")
