"""Running suites, and reading what they left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xaibench.core import registry
from xaibench.core.errors import NothingToDoError, UsageError, did_you_mean
from xaibench.core.paths import cache_folder, default_store


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    store : Path
    suite : str
    number : int
    outcome : dict
        How it ended, with counts of cells by status.
    """

    store: Path
    suite: str
    number: int
    outcome: dict[str, Any]


def run(
    suite: str | Path | dict[str, Any] = "quick",
    *,
    store: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int | None = None,
    plugins: Sequence[str | Path] = (),
) -> Run:
    """Run a suite given by name, path or as a dictionary, like ``xaibench run``.

    Results that the store holds already are not computed again.

    Returns
    -------
    Run
    """
    from xaibench import suite as suites
    from xaibench.execution import Options, execute
    from xaibench.history import History
    from xaibench.plan import make_plan
    from xaibench.problems import Problems
    from xaibench.store import Store

    for plugin in plugins:
        registry.load_module(str(plugin))
    loaded = suites.parse(suite) if isinstance(suite, dict) else suites.load(str(suite))
    where = Store(store or default_store(), create=True)
    cache = cache_folder()
    plan = make_plan(
        loaded.shifted(seed), history=History.of(where), fingerprint=Problems(cache, device=device).fingerprint
    )
    options = Options(
        cache, device, threads, batch_size, plugins=tuple(map(str, plugins)), argv=["xaibench.run", loaded.name]
    )
    outcome = execute(plan, where, options)
    write_leaderboard(where.path, loaded.name)
    return Run(where.path, loaded.name, outcome.run, outcome.as_dict())


def leaderboard(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Leaderboard of a store: one row per suite, problem, explainer and metric.

    Parameters
    ----------
    store : path
    suite : str, optional
        Only this suite; by default every suite that was run, from its latest run.

    Raises
    ------
    StoreError
        If there is no store.
    NothingToDoError
        If the store holds no results of the suite.
    """
    from xaibench.analysis.leaderboard import leaderboard as board_of

    boards = [board_of(results(store, name), suite=name) for name in _suites(store, suite)]
    return pd.concat(boards, ignore_index=True)


def results(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Rows of every cell that a suite's latest run planned, whoever computed them.

    One row per cell with per-sample scores; status ``missing`` where there is no result yet. Without
    ``suite``, the cells of every suite.
    """
    from xaibench.store import Store

    opened = Store(store)
    latest = {name: m["run"] for m in opened.manifests() for name in [m["suite"]] if suite in (None, name)}
    if not latest:
        raise NothingToDoError(f"{store} holds no run" + (f" of suite {suite!r}" if suite else "s"))
    planned = pd.concat([opened.planned(number).to_pandas() for number in latest.values()])
    planned = planned.drop_duplicates("cell_id")
    found = opened.read().to_pandas()
    found = found[found["cell_id"].isin(planned["cell_id"])]
    missing = planned[~planned["cell_id"].isin(found["cell_id"])]
    parts = [part for part in (found, missing) if len(part)] or [planned]
    merged: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return merged


def _suites(store: str | Path, suite: str | None) -> list[str]:
    from xaibench.store import Store

    names = list(dict.fromkeys(m["suite"] for m in Store(store).manifests()))
    if not names:
        raise NothingToDoError(f"{store} holds no runs", "`xaibench run` makes one")
    if suite is not None and suite not in names:
        raise UsageError(f"{store} holds no run of suite {suite!r}", did_you_mean(suite, names))
    return names if suite is None else [suite]


def write_leaderboard(store: str | Path, suite: str | None = None) -> pd.DataFrame:
    """Write ``leaderboard.parquet`` and ``.csv`` of all suites into the store; return the part of ``suite``."""
    from xaibench.core.files import write_atomic

    board = leaderboard(store)
    folder = Path(store)
    write_atomic(folder / "leaderboard.parquet", lambda draft: board.to_parquet(draft, index=False))
    write_atomic(folder / "leaderboard.csv", lambda draft: board.to_csv(draft, index=False))
    return board if suite is None else board[board["suite"] == suite].reset_index(drop=True)
