"""Which metrics and explainers remove single cells of a series under a masker that gives them back, and their mark."""

from __future__ import annotations

import json
from collections.abc import Iterable

from xaibench.core.masking.names import FROM_KEPT_STEPS

CELL_MARK = "~"
"""Behind the name of a metric or an explainer that removes single cells or steps from their neighbours."""


def single_cell_masker(params: str) -> str | None:
    """The masker under which single cells or steps of a series are removed, where it fills them from their neighbours.

    Parameters
    ----------
    params : str
        Of a metric or an explainer, as JSON.

    Returns
    -------
    str or None
        None where whole segments or sensors go, or the masker is another one.

    Examples
    --------
    >>> single_cell_masker('{"group": "cells", "masker": "interpolate"}')
    'interpolate'
    >>> single_cell_masker('{"group": null, "masker": "interpolate", "patch": null}') is None
    True
    >>> single_cell_masker('{"group": "segments", "masker": "carry_forward", "patch": 1}')
    'carry_forward'
    >>> single_cell_masker('{"group": "cells", "masker": "zero"}') is None
    True
    """
    found = json.loads(params) if params else {}
    if not isinstance(found, dict) or found.get("masker") not in FROM_KEPT_STEPS:
        return None
    group = found.get("group")
    alone = group in ("cells", "steps") or (group in (None, "segments") and found.get("patch") == 1)
    return str(found["masker"]) if alone else None


def marked(label: str, params: str) -> str:
    """A label, with the mark where single cells or steps are removed."""
    return label + CELL_MARK if single_cell_masker(params) else label


def mark_sentence(all_params: Iterable[str]) -> str | None:
    """What the mark means, with the maskers in question; None where nothing is marked.

    Examples
    --------
    >>> mark_sentence(['{"group": "cells", "masker": "interpolate"}'])[:75]
    '~ behind a name: single cells or steps of series are removed by interpolate'
    """
    maskers = sorted({name for params in set(all_params) if (name := single_cell_masker(params))})
    if not maskers:
        return None
    return (
        f"{CELL_MARK} behind a name: single cells or steps of series are removed by {', '.join(maskers)}, filled in"
        " from their neighbours, so that a smooth series loses next to nothing; segments are the default there"
    )
