"""Which row stands for a cell when several runs have written one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xaibench.store.schema import DONE


def best_rows(table: pa.Table, *, per_content: bool = False) -> pa.Table:
    """Keep one row per cell.

    Rows of one content (cell and score key): a result beats a failure, then the higher run number
    wins. Among contents of a cell (its model was trained anew, say) the one seen by the highest run
    wins; failures that came before the content was known never shadow a result.

    Parameters
    ----------
    table : pyarrow.Table
        With at least ``cell_id``, ``score_key``, ``status`` and ``run``.
    per_content : bool
        Keep one row per content instead, as compaction does.
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
    keys = (position, run, good) if per_content else (position, run, good, seen, known)
    outer = group if per_content else cell
    order = np.lexsort((*keys, outer))
    last = np.append(outer[order][1:] != outer[order][:-1], True)
    return table.take(pa.array(np.sort(order[last])))


def _codes(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Integer codes of equal strings; null is a value of its own."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices).astype(np.int64)
