"""Selection of the row that counts for a cell when several runs have written one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from xaibench.store.schema import DONE

Codes = np.ndarray[Any, np.dtype[np.int64]]


def best_rows(table: pa.Table, *, per_content: bool = False) -> pa.Table:
    """Select one row per cell.

    Rows of one content (cell and score key): a result beats a failure, then the higher run number
    wins. Among contents of a cell (its model was trained again, say) the one seen by the highest run
    wins; failures that came before the content was known never shadow a result.

    Parameters
    ----------
    table : pyarrow.Table
        With at least ``cell_id``, ``score_key``, ``status`` and ``run``.
    per_content : bool
        Select what any later choice can need instead, as compaction does: of every content the best
        row and the newest one.
    """
    if len(table) == 0:
        return table
    cell = _codes(table["cell_id"])
    content = _codes(table["score_key"])
    known = ~np.asarray(table["score_key"].is_null())
    good = np.isin(table["status"].to_numpy(zero_copy_only=False), list(DONE))
    run = table["run"].to_numpy()
    group = cell * (content.max() + 2) + content
    _, group = np.unique(group, return_inverse=True)
    newest = np.zeros(group.max() + 1, dtype=np.int64)
    np.maximum.at(newest, group, run)
    seen = newest[group]
    position = np.arange(len(run))
    if per_content:
        # The newest row stays beside the best one: it tells when this content was seen last.
        chosen = np.union1d(_last_of(group, position, run, good), _last_of(group, position, run))
    else:
        chosen = np.sort(_last_of(cell, position, run, good, seen, known))
    return table.take(pa.array(chosen))


def _last_of(group: Codes, *keys: np.ndarray[Any, Any]) -> Codes:
    """Index of the last member of each group, ordered by ``keys``, the most significant one last."""
    order = np.lexsort((*keys, group))
    last = np.append(group[order][1:] != group[order][:-1], True)
    chosen: Codes = order[last]
    return chosen


def _codes(column: pa.ChunkedArray) -> Codes:
    """Integer codes of equal strings; null is a value of its own."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices).astype(np.int64)
