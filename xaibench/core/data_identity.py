"""What a data set's fingerprint holds of its parts, as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from xaibench.core.intervention import Intervention
from xaibench.core.keys import array_digest


def plain_fact(value: Any) -> Any:
    """A fact as it is, an array by its digest."""
    return array_digest(value) if isinstance(value, np.ndarray) else value


def intervention_identity(change: Intervention) -> list[Any]:
    """Name, rules and digests of an intervention; a context only where there is one, so that other keys stay."""
    rules = [change.max_drop, change.at_most, *([] if change.at_least is None else [change.at_least])]
    beside = sorted((change.context or {}).items())
    more = [{name: array_digest(values) for name, values in beside}] if beside else []
    return [change.name, *rules, *(array_digest(a) for a in (change.inputs, change.targets, change.rows)), *more]
