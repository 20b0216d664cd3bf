"""ROAD's linear system solved exactly, to compare the imputation with."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

WEIGHTS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}


def exact(image: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Solve the linear system of one image (C, H, W) in double precision."""
    height, width = keep.shape
    number = np.full(keep.shape, -1)
    number[~keep] = np.arange((~keep).sum())
    entries: list[tuple[int, int, float]] = []
    known = np.zeros(((~keep).sum(), len(image)))
    for y, x in np.argwhere(~keep):
        for (down, right), weight in WEIGHTS.items():
            for j, i in ((y + down, x + right), (y - down, x - right)):
                if not (0 <= j < height and 0 <= i < width):
                    continue
                entries.append((number[y, x], number[y, x], weight))
                if keep[j, i]:
                    known[number[y, x]] += weight * image[:, j, i]
                else:
                    entries.append((number[y, x], number[j, i], -weight))
    rows, columns, values = zip(*entries, strict=True)
    solved = spsolve(coo_matrix((values, (rows, columns))).tocsc(), known).reshape(known.shape)
    out = image.astype(np.float64).copy()
    out[:, ~keep] = solved.T
    return out
