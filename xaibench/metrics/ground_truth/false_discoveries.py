"""False discovery proportion and power of reported features (Burns et al. 2020), over all samples at once.

All (sample, feature) pairs are one pool, so these are scores over the data set: one number each.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Gt, Lt
from scipy.stats import false_discovery_control
from torch import Tensor

from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.metrics.maps.masks import true_mask
from xaibench.metrics.maps.orders import OrderSign

Level = Annotated[float, Gt(0), Lt(1)]
Select = Literal["benjamini_hochberg", "symmetric", "top"]
_SOURCE = "Burns, Thomason, Tansey 2020, Interpreting black box models via hypothesis testing"


@metric(
    "false_discovery_proportion",
    family="ground_truth",
    construct="discoveries",
    higher_is_better=False,
    bounds=(0, 1),
    needs={"truth.mask"},
    scope="dataset",
    source=_SOURCE,
)
def false_discovery_proportion(ev: Evaluation, *, q: Level = 0.1, select: Select = "symmetric") -> Tensor:
    """Share of the discoveries that are not in the true mask; its mean over problems is the false discovery rate.

    Parameters
    ----------
    q : float
        Level of the false discovery rate that the procedure is asked to control.
    select : {"symmetric", "benjamini_hochberg", "top"}
        What is discovered:

        - ``symmetric``: everything from the smallest threshold t > 0 with ``(1 + #{<= -t}) / #{>= t}
          <= q`` (Barber & Candes 2015, knockoff+), for maps that are symmetric about 0 under the
          null (`osft`);
        - ``benjamini_hochberg``: what Benjamini & Hochberg (1995) reject, for maps that are
          ``1 - p`` (`irt`);
        - ``top``: as many pairs as are true, the largest magnitudes first, for maps that only
          rank; ``q`` plays no role, and equal magnitudes are discovered in proportion.

    Returns
    -------
    Tensor (1,)
        0 where nothing is discovered. NaN with ``benjamini_hochberg`` where a number is outside
        [0, 1], and with ``top`` where nothing is true.
    """
    chosen, true = _discoveries(ev, q, select)
    return _one((chosen * ~true).sum() / max(1.0, chosen.sum()))


@metric(
    "discovery_power",
    family="ground_truth",
    construct="discoveries",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    scope="dataset",
    source=_SOURCE,
    favours={"constant maps"},  # they report everything
)
def discovery_power(ev: Evaluation, *, q: Level = 0.1, select: Select = "symmetric") -> Tensor:
    """Share of the true features that are discovered, the true positive rate.

    It means something beside `false_discovery_proportion` only: a map that reports everything has power 1.

    Parameters
    ----------
    q, select
        As in `false_discovery_proportion`.

    Returns
    -------
    Tensor (1,)
        NaN where nothing is true, or where `false_discovery_proportion` is.
    """
    chosen, true = _discoveries(ev, q, select)
    return _one((chosen * true).sum() / true.sum() if true.any() else np.nan)


@metric(
    "power_at_fdr",
    family="ground_truth",
    construct="discoveries",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"truth.mask"},
    scope="dataset",
    skill_valid=True,
    source="xaibench's own definition: power at a matched false discovery rate",
)
def power_at_fdr(ev: Evaluation, *, q: Level = 0.1, sign: OrderSign = "absolute") -> Tensor:
    """Share of the true features in the longest top list that is at most q false.

    The truth picks the threshold, so this is what a map could discover at best, if it were told
    where to stop: it compares maps that only rank with those that test. A list holds all pairs
    above a threshold, equal numbers together.

    Parameters
    ----------
    q : float
        Largest true false discovery proportion.
    sign : {"absolute", "signed"}
        Rank by magnitude, or by signed value.

    Returns
    -------
    Tensor (1,)
        0 where every list is too false. NaN where nothing is true.
    """
    values, true = _pool(ev)
    if not true.any():
        return _one(np.nan)
    values = np.abs(values) if sign == "absolute" else values
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.diff(values[order]) != 0, True)
    hits = np.cumsum(true[order])
    false_share = 1 - hits / np.arange(1, len(order) + 1)
    return _one((hits[ends & (false_share <= q)] / true.sum()).max(initial=0.0))


def _discoveries(ev: Evaluation, q: float, select: Select) -> tuple[Array, Array]:
    """How far each pair is discovered, from 0 to 1 (NaN: undefined), and whether it is true."""
    values, true = _pool(ev)
    if select == "benjamini_hochberg":
        if values.min() < 0 or values.max() > 1:
            return np.full(len(values), np.nan), true
        return (false_discovery_control(1 - values) <= q).astype(float), true
    if select == "symmetric":
        return (values >= symmetric_threshold(values, q)).astype(float), true
    return _top(np.abs(values), int(true.sum())), true


def symmetric_threshold(values: Array, q: float) -> float:
    """Smallest threshold t > 0 of knockoff+ at level q, infinity where there is none."""
    candidates = np.unique(np.abs(values[values != 0]))
    up, down = np.sort(values), np.sort(-values)
    above = len(values) - np.searchsorted(up, candidates)
    below = len(values) - np.searchsorted(down, candidates)
    valid = candidates[(1 + below) / np.maximum(1, above) <= q]
    return float(valid.min(initial=np.inf))


def _top(values: Array, k: int) -> Array:
    """1 for the k largest numbers; those that are equal at the border share the places that are left."""
    if k == 0:
        return np.full(len(values), np.nan)
    border = np.partition(values, -k)[-k]
    above, equal = values > border, values == border
    shares: Array = above + equal * ((k - above.sum()) / equal.sum())
    return shares


def _pool(ev: Evaluation) -> tuple[Array, Array]:
    """Attributions and truth of all pairs (N * F,)."""
    return ev.attributions.double().flatten().cpu().numpy(), true_mask(ev).flatten().cpu().numpy()


def _one(value: float) -> Tensor:
    return torch.tensor([float(value)], dtype=torch.float64)
