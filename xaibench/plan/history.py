"""What a store knows about earlier runs: what is done, and how long things took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pyarrow as pa

from xaibench.store import Store
from xaibench.store.schema import DONE

HISTORY_COLUMNS = [
    "cell_id", "lineage", "score_key", "status", "run", "dataset", "model", "explainer", "metric",
    "explain_seconds", "score_seconds",
]  # fmt: skip


class History:
    """Index of finished cells and of past durations.

    Parameters
    ----------
    table : pyarrow.Table, optional
        Every row of a store, with at least `HISTORY_COLUMNS`.
    """

    def __init__(self, table: pa.Table | None = None) -> None:
        self._contents: dict[str, dict[str, bool]] = {}
        self._newest: dict[str, tuple[int, str | None]] = {}
        self._failed_last: dict[str, bool] = {}
        self._lineages: set[str] = set()
        explain: dict[tuple[str, ...], list[float]] = defaultdict(list)
        score: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for row in [] if table is None else table.select(HISTORY_COLUMNS).to_pylist():
            self._lineages.add(row["lineage"])
            done = row["status"] in DONE
            if row["run"] >= self._newest.get(row["cell_id"], (0, None))[0]:
                self._newest[row["cell_id"]] = (row["run"], row["score_key"])
                self._failed_last[row["cell_id"]] = not done
            if row["score_key"] is not None:
                contents = self._contents.setdefault(row["cell_id"], {})
                contents[row["score_key"]] = contents.get(row["score_key"], False) or done
            problem = f"{row['dataset']}/{row['model']}"
            if row["explain_seconds"] is not None:
                explain[problem, row["explainer"]].append(row["explain_seconds"])
                explain[(row["explainer"],)].append(row["explain_seconds"])
            if row["score_seconds"] is not None:
                score[problem, row["explainer"], row["metric"]].append(row["score_seconds"])
                score[(row["metric"],)].append(row["score_seconds"])
        self._explain = {k: float(np.median(v)) for k, v in explain.items()}
        self._score = {k: float(np.median(v)) for k, v in score.items()}

    @classmethod
    def of(cls, store: Store) -> History:
        """History of a store."""
        return cls(store.read(HISTORY_COLUMNS, every=True))

    def of_cells(self, cells: Iterable[tuple[str, str]]) -> History:
        """What is known of these cells (id, lineage), without durations: small enough to send to a worker."""
        part = History()
        for cell_id, lineage in cells:
            if cell_id in self._newest:
                part._newest[cell_id] = self._newest[cell_id]
                part._failed_last[cell_id] = self._failed_last[cell_id]
                part._contents[cell_id] = self._contents.get(cell_id, {})
            if lineage in self._lineages:
                part._lineages.add(lineage)
        return part

    def status(self, cell_id: str, score_key: str) -> Literal["done", "failed"] | None:
        """Whether this very content has been scored, tried in vain, or never met."""
        found = self._contents.get(cell_id, {}).get(score_key)
        return None if found is None else "done" if found else "failed"

    def knows(self, cell_id: str) -> bool:
        """Whether the cell has ever been run, with whatever content."""
        return cell_id in self._newest

    def failed_last(self, cell_id: str) -> bool:
        """Whether the latest run of this cell, with whatever content, failed."""
        return self._failed_last.get(cell_id, False)

    def newest(self, cell_id: str) -> str | None:
        """Score key of the content that the latest run of this cell has met."""
        return self._newest.get(cell_id, (0, None))[1]

    def knows_lineage(self, lineage: str) -> bool:
        """Whether the cell has ever been run, with whatever versions."""
        return lineage in self._lineages

    def explain_seconds(self, problem: str, explainer: str) -> float | None:
        """Median time of this explainer here, else anywhere, else None."""
        return self._explain.get((problem, explainer), self._explain.get((explainer,)))

    def score_seconds(self, problem: str, explainer: str, metric: str) -> float | None:
        """Median time of this metric here, else anywhere, else None."""
        return self._score.get((problem, explainer, metric), self._score.get((metric,)))
