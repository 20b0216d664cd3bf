"""Causal checks that a data set makes of a model: inputs with something changed, and what must follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xaibench.core.types import Array


@dataclass(frozen=True)
class Intervention:
    """A causal check of a problem's truth: the test set with something changed, and what must follow.

    Only ``at_least`` is a rule that a model without skill must break: a model that decides nothing loses
    nothing (``max_drop``) and is at chance (``at_most``). An ``at_most`` on inputs without their
    signal is a check of the data, which any model passes that has not seen them; its name then ends
    in *(data)*.

    Parameters
    ----------
    name : str
        For example ``"null blocks swapped"``.
    inputs : array (M, *input_shape), float32
    targets : array (M,), int64
        The classes of the changed inputs.
    max_drop : float, optional
        Accuracy may fall by at most this much below the clean accuracy on the same rows.
    at_most : float, optional
        Accuracy may be at most this.
    at_least : float, optional
        Accuracy must be at least this: the decision follows what was changed.
    rows : array (M,), int64
        Row of the test set that each changed input came from.
    context : mapping of str to array (M, ...), optional
        What goes to the model beside the changed inputs; by default that of their rows.

    Examples
    --------
    The accuracy may not fall when a column is swapped that does not matter:

    >>> import numpy as np
    >>> import xaibench as xb
    >>> rows = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    >>> check = xb.Intervention("columns swapped", rows[:, ::-1].copy(), np.array([0, 1]), np.arange(2), max_drop=0.05)
    >>> check.name
    'columns swapped'
    """

    name: str
    inputs: Array
    targets: Array
    rows: Array
    max_drop: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    context: Mapping[str, Array] | None = None
