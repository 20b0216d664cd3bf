"""Ranks over problems and pairs of explainers, of a store, a table of scores or a board."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from xaibench.analysis.leaderboard.columns import LEADERBOARD_COLUMNS
from xaibench.analysis.leaderboard.pairwise import pairwise as pairs_of
from xaibench.analysis.ranks.overall import Missing
from xaibench.analysis.ranks.overall import overall as overall_ranks
from xaibench.api.reading import EVALUATION, leaderboard, results, shown_runs
from xaibench.api.sample_table import to_cells
from xaibench.core.errors import UsageError
from xaibench.store import Store


def overall(
    source: str | Path | pd.DataFrame,
    suite: str | None = None,
    *,
    missing: Missing = "error",
    trust: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Mean relative rank of every explainer, by family of metrics, among explainers measured on the same things.

    Parameters
    ----------
    source : path or DataFrame
        A store, a board from `leaderboard`, or a table from `Problem.evaluate`.
    suite : str, optional
        Only this suite.
    missing : {"error", "drop", "worst"}
        Where a supported score is missing: refuse, leave that problem and metric out, or count it as the last place.
    trust : DataFrame, optional
        Weights of metrics, the first table of `audit`.

    Returns
    -------
    DataFrame
        See `xaibench.analysis.ranks.overall.overall`.

    Raises
    ------
    UsageError
        If a score is missing and ``missing`` is "error", or the source is not one of these.
    NothingToDoError
        If no two explainers share a measurement.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    >>> model = lambda a: np.stack([a @ [2.0, -1.0, 0.5], a @ [0.0, 0.0, 0.0]], axis=1)
    >>> table = xb.Problem(model, x, returns="logit").evaluate(["feature_ablation", "lime"], ["deletion"])
    >>> xb.overall(table)["explainer"].tolist()
    ['feature_ablation', 'lime']
    """
    if isinstance(source, pd.DataFrame) and set(LEADERBOARD_COLUMNS) <= set(source.columns):
        board = source if suite is None else source[source["suite"] == suite]
    else:
        board = leaderboard(source, suite)
    return overall_ranks(board, missing=missing, trust=trust)


def pairwise(source: str | Path | pd.DataFrame, suite: str | None = None) -> pd.DataFrame:
    """Every pair of ranked explainers with one metric on one problem: difference, effect, corrected p-values.

    Parameters
    ----------
    source : path or DataFrame
        A store, or a table from `Problem.evaluate`.
    suite : str, optional
        Only this suite.

    Returns
    -------
    DataFrame
        Column ``suite`` and those of `xaibench.analysis.leaderboard.pairwise.pairwise`.

    Raises
    ------
    StoreError, NothingToDoError, UsageError
        If there is no store, no run, or no such suite; or the source is not one of these.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    >>> model = lambda a: np.stack([a @ [2.0, -1.0, 0.5], a @ [0.0, 0.0, 0.0]], axis=1)
    >>> table = xb.Problem(model, x, returns="logit").evaluate(["feature_ablation", "lime"], ["deletion"])
    >>> xb.pairwise(table)[["explainer_a", "explainer_b", "n"]].values.tolist()
    [['feature_ablation', 'lime', 16]]
    """
    if isinstance(source, pd.DataFrame):
        if set(LEADERBOARD_COLUMNS) <= set(source.columns):
            raise UsageError("a board has no scores of samples to compare", "give the store or the table it is of")
        name = suite or EVALUATION
        cells = to_cells(source)
        return _of(name, cells, leaderboard(source, name))
    frames = [
        _of(name, results(source, name), leaderboard(source, name))
        for name in (manifest["suite"] for manifest in shown_runs(Store(source), suite, None))
    ]
    return pd.concat(frames, ignore_index=True)


def _of(suite: str, cells: pd.DataFrame, board: pd.DataFrame) -> pd.DataFrame:
    found = pairs_of(cells, board)
    found.insert(0, "suite", suite)
    return found
