"""Reading stores: leaderboards, results and claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench import suite as suites
from xaibench.analysis.claims.verdicts import claims_table
from xaibench.analysis.leaderboard.table import leaderboard as board_of
from xaibench.api.board_files import suite_states, update_frame
from xaibench.api.sample_table import to_cells
from xaibench.core import registry
from xaibench.core.components import MetricSpec
from xaibench.core.errors import NothingToDoError, UsageError, did_you_mean
from xaibench.core.known_names import all_components
from xaibench.plan import expand
from xaibench.store import Store

EVALUATION = "evaluation"
"""What stands for a suite on the board of a table."""


def leaderboard(store: str | Path | pd.DataFrame, suite: str | None = None, *, run: int | None = None) -> pd.DataFrame:
    """Leaderboard of a store or of a table: one row per suite, problem, explainer and metric.

    Parameters
    ----------
    store : path or DataFrame
        A table is what `Problem.evaluate` returns, or several of them together.
    suite : str, optional
        Only this suite; by default every suite that was run. For a table a name of its own.
    run : int, optional
        The cells that this run planned; see `results`.

    Raises
    ------
    StoreError
        If there is no store.
    NothingToDoError
        If the store holds no run.
    UsageError
        If it holds none of this suite or number.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> board = xb.leaderboard(xb.run(suite, store="results_of_mine").store)
    >>> board[["explainer", "metric", "n", "status"]].values.tolist()
    [['gradient', 'sparseness', 4, 'ok']]
    """
    metrics = {spec.name: spec for spec in all_components("metric") if isinstance(spec, MetricSpec)}
    if isinstance(store, pd.DataFrame):
        return board_of(to_cells(store), suite=suite or EVALUATION, metrics=metrics)
    opened = Store(store)
    return _boards(opened, shown_runs(opened, suite, run))


def _boards(opened: Store, shown: list[dict[str, Any]]) -> pd.DataFrame:
    """Boards of these runs, by their manifests."""
    found = opened.read().to_pandas()
    metrics = {spec.name: spec for spec in all_components("metric") if isinstance(spec, MetricSpec)}
    boards = [
        board_of(_cells(opened.planned(m["run"]).to_pandas(), found), suite=m["suite"], metrics=metrics) for m in shown
    ]
    return pd.concat(boards, ignore_index=True)


def results(store: str | Path, suite: str | None = None, *, run: int | None = None) -> pd.DataFrame:
    """Rows of every cell that a run planned, also those that another run computed.

    One row per cell with per-sample scores; status ``missing`` where there is no result yet.
    Parameters and errors are those of `leaderboard`. Without ``run``, the latest run of the suite
    that took all of it, or the latest one if none did; without ``suite``, those of every suite.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> cells = xb.results(xb.run(suite, store="results_of_mine").store)
    >>> len(cells), len(cells["scores"][0])
    (1, 4)
    """
    opened = Store(store)
    planned = pd.concat([opened.planned(m["run"]).to_pandas() for m in shown_runs(opened, suite, run)])
    return _cells(planned.drop_duplicates("cell_id"), opened.read().to_pandas())


def claims(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Verdicts on the claims of the suites that were run: one row per claim, with the columns of the data dictionary.

    Parameters and errors are those of `leaderboard`; a suite without claims has no rows.

    Examples
    --------
    >>> import xaibench as xb
    >>> suite = {
    ...     "name": "little", "samples": 4, "controls": False, "explainers": ["gradient"], "metrics": ["sparseness"],
    ...     "problems": [{"dataset": "breast_cancer", "models": ["softmax_regression"]}],
    ... }
    >>> suite["samples"], suite["claims"] = 16, [{
    ...     "id": "spread", "source": "an example", "statement": "Gradients are spread out.",
    ...     "left": {"metric": "sparseness"}, "number": 0.99, "direction": "less",
    ... }]
    >>> xb.claims(xb.run(suite, store="results_of_mine").store)[["id", "verdict"]].values.tolist()
    [['spread', 'reproduced']]
    """
    opened = Store(store)
    return _verdicts(opened, shown_runs(opened, suite, None))


def _verdicts(opened: Store, shown: list[dict[str, Any]]) -> pd.DataFrame:
    """Verdicts on the claims of these runs, by their manifests."""
    found = opened.read().to_pandas()
    tables = [
        claims_table(cells, made, suite=m["suite"])
        for m in shown
        for cells, made in _claims_of(m.get("resolved_suite", {}), _cells(opened.planned(m["run"]).to_pandas(), found))
    ]
    return pd.concat(tables, ignore_index=True)


def _claims_of(document: dict[str, Any], cells: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, list[suites.Claim]]]:
    """The claims of a suite and of its parts, each with the results that they are about: those of the same part."""
    yield cells, [suites.Claim.model_validate(claim) for claim in document.get("claims", [])]
    for part in document.get("parts", []):
        yield from _claims_of(part, _of_part(part, cells))


_NAMES = ["dataset", "model", "problem_seed", "explainer", "explainer_params", "metric", "params"]


def _of_part(document: dict[str, Any], cells: pd.DataFrame) -> pd.DataFrame:
    """Results of the matrices of a part; how many samples a run was limited to plays no role.

    All results, where a part names code that is not loaded.
    """
    try:
        with registry.no_new_code():
            part = suites.parse(document, source=document["name"])
            units = list(expand(part))
    except UsageError:
        return cells
    wanted = {
        (
            *u.problem.labels,
            u.problem.seed,
            u.spec.name,
            u.explainer.keyed,
            c.spec.name,
            c.metric.keyed,
        )
        for u in units
        for c in u.cells
    }
    chosen = [row in wanted for row in cells[_NAMES].itertuples(index=False, name=None)]
    return cells[chosen].reset_index(drop=True)


def write_claims(store: str | Path) -> pd.DataFrame:
    """Write ``claims.parquet`` of all suites into the store, and return it; suites that have not changed stay."""
    return _updated(Store(store), "claims", _verdicts)


def _updated(
    opened: Store, stem: str, make: Callable[[Store, list[dict[str, Any]]], pd.DataFrame], *, csv: bool = False
) -> pd.DataFrame:
    """A stored table of all suites, with what has changed made again."""
    shown = {m["suite"]: m for m in shown_runs(opened, None, None)}
    states = suite_states(opened, list(shown.values()))
    return update_frame(opened, stem, states, lambda names: make(opened, [shown[n] for n in names]), csv=csv)


def shown_runs(store: Store, suite: str | None, run: int | None) -> list[dict[str, Any]]:
    """Manifests of the runs that are shown, one per suite."""
    manifests = store.manifests()
    if not manifests:
        raise NothingToDoError(f"{store.path} holds no runs", "`xaibench run` makes one")
    names = list(dict.fromkeys(m["suite"] for m in manifests))
    if suite is not None and suite not in names:
        raise UsageError(f"{store.path} holds no run of suite {suite!r}", did_you_mean(suite, names))
    found = [m for m in manifests if suite in (None, m["suite"]) and run in (None, m["run"])]
    if not found:
        raise UsageError(f"{store.path} holds no run {run}", f"its runs go from 1 to {manifests[-1]['run']}")
    return [
        max((m for m in found if m["suite"] == name), key=lambda m: (m.get("whole", True), m["run"]))
        for name in names
        if any(m["suite"] == name for m in found)
    ]


def _cells(planned: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Results of the planned cells, and the planned rows of those that have none."""
    found = found[found["cell_id"].isin(planned["cell_id"])]
    missing = planned[~planned["cell_id"].isin(found["cell_id"])]
    parts = [part for part in (found, missing) if len(part)] or [planned]
    cells: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return cells


def write_leaderboard(store: str | Path) -> pd.DataFrame:
    """Write ``leaderboard.parquet`` and ``.csv`` of all suites, and return them; suites that have not changed stay."""
    return _updated(Store(store), "leaderboard", _boards, csv=True)
