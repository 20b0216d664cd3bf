"""What all data sets that are files share: types of parameters, and the accuracy below which nothing is explained."""

from __future__ import annotations

from typing import Annotated

import annotated_types
import numpy as np

from xaibench.core.types import Array

TestShare = Annotated[float, annotated_types.Gt(0), annotated_types.Lt(1)]
"""Share of the rows that are test rows."""
_MARGIN = 0.02
"""How much better than always saying the most frequent class a model must be, by default."""
_MOST = 0.995


def default_floor(targets: Array | None) -> float:
    """Accuracy below which a model is not worth explaining: that of the most frequent class, and a little more.

    Parameters
    ----------
    targets : array (N,) or None
        Classes of the test rows; None for a regression, whose R2 must be a little above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.datasets.files.parameters import default_floor
    >>> default_floor(np.array([0, 0, 0, 1])), default_floor(None)
    (0.77, 0.02)
    """
    if targets is None:
        return _MARGIN
    return min(float(np.unique(targets, return_counts=True)[1].max() / len(targets)) + _MARGIN, _MOST)
