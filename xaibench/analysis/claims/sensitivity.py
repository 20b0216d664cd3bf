"""What would change the verdict on a claim: another margin, or more units."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import bdtr, bdtrik, ndtr, stdtrit

from xaibench.analysis.statistics.evidence import LEVEL
from xaibench.core.types import Array
from xaibench.suite import Claim

MAX_UNITS = 1_000_000
"""More units than this are called too many."""


def turning_point(claim: Claim, found: dict[str, Any], *, n_comparisons: int = 1) -> dict[str, Any]:
    """Columns ``would_need_n``, ``critical_margin`` and ``would_change`` of `claims_table`.

    Parameters
    ----------
    claim : Claim
    found : dict
        The comparison that decides, as `xaibench.analysis.claims.verdicts.compare_operands` gives it.
    n_comparisons : int
        Comparisons that the claim makes: what refutes it is corrected for them.
    """
    # Where no test is possible, no margin is reproduced either.
    margin = critical_margin(claim, found["ci_low"], found["ci_high"]) if found["decidable"] else math.nan
    facts = {"would_need_n": math.nan, "critical_margin": margin}
    other = _other_margin(claim, margin, found["verdict"])
    if found["verdict"] != "inconclusive":
        return {**facts, "would_change": other}
    verdict, borders = _borders(claim, found["effect"])
    level = LEVEL if verdict == "reproduced" else LEVEL / n_comparisons
    need = units_needed(found, borders, level)
    units = "samples" if claim.unit == "sample" else "training seeds"
    if math.isnan(need):
        more = f"no number of {units}: the effect is at the margin"
    elif need > MAX_UNITS:
        need, more = math.inf, f"more than a million {units} at this effect"
    elif need <= found["n"]:
        need, more = math.nan, f"more {units}: its test and its interval disagree"
    else:
        at_least = "about" if found["ci_high"] > found["ci_low"] else "at least"
        more = f"{at_least} {need:,.0f} {units} at this effect ({verdict})"
    return {**facts, "would_need_n": need, "would_change": "; or ".join(filter(None, (more, other)))}


def critical_margin(claim: Claim, low: float, high: float) -> float:
    """The margin at which the interval ends: smaller ones are reproduced, of *equal* larger ones.

    Below 0 where not even a margin of 0 is reproduced; NaN without an interval.
    """
    if claim.direction == "equal":
        return max(abs(low), abs(high))
    return low if claim.direction == "greater" else -high


def _other_margin(claim: Claim, margin: float, verdict: str) -> str | None:
    """What margin would give another verdict, in words."""
    if math.isnan(margin):
        return None
    text = f"{margin:.2g}"
    if claim.direction == "equal":
        return f"a margin below {text}" if verdict == "reproduced" else f"a margin above {text} (reproduced)"
    if verdict == "reproduced":
        return f"a margin above {text}"
    return f"a margin below {text} (reproduced)" if margin > 0 else None


def _borders(claim: Claim, effect: float) -> tuple[str, list[float]]:
    """The verdict that this effect would get if it were known exactly, and the borders that it must keep away from."""
    if claim.direction == "equal":
        if abs(effect) < claim.margin:
            return "reproduced", [-claim.margin, claim.margin]
        return "refuted", [math.copysign(claim.margin, effect)]
    border = claim.margin if claim.direction == "greater" else -claim.margin
    above = effect > border
    return ("reproduced" if above == (claim.direction == "greater") else "refuted"), [border]


def units_needed(found: dict[str, Any], borders: Sequence[float], level: float = LEVEL) -> float:
    """Units at which test and interval leave every border behind, if effect and spread stay what they are.

    Half of all repetitions with so many units would decide: of two borders both must be left behind
    (two one-sided tests, Schuirmann 1987). NaN where the effect is on a border.

    Parameters
    ----------
    found : dict
        ``effect``, ``ci_low``, ``ci_high``, ``n``; ``share`` where the effect is a share less ``right``.
    borders : sequence of float
        One, or one on each side of the effect.
    level : float
        One-sided.
    """
    distances = np.abs(found["effect"] - np.asarray(borders))
    if distances.min() == 0:
        return math.nan
    # Signs of fewer units than this cannot reach the level, however they fall.
    fewest = math.ceil(-math.log2(level))
    if found.get("share") is not None:
        need = _of_share(found["share"], [found["right"] + border for border in borders], level)
        return need if 0 < found["right"] < 1 else max(need, fewest)
    if math.isnan(found["ci_low"]) or found["ci_high"] == found["ci_low"]:
        return fewest
    half, n = (found["ci_high"] - found["ci_low"]) / 2, found["n"]
    spread = half * math.sqrt(n) / float(stdtrit(n - 1, 1 - LEVEL))

    def enough(n: int) -> bool:
        past = ndtr(distances / spread * math.sqrt(n) - stdtrit(n - 1, 1 - level))
        return bool(past.sum() - (len(distances) - 1) >= 0.5)

    candidates = range(fewest, MAX_UNITS + 1)
    at = bisect_left(candidates, True, key=enough)
    return float(candidates[at]) if at < len(candidates) else math.inf


def _of_share(share: float, numbers: Sequence[float], level: float) -> float:
    """Units at which exact binomial tests tell this share from all numbers in half of all repetitions.

    No share lies beyond 0 and 1: such numbers need no units.
    """
    n = np.unique(np.geomspace(1, MAX_UNITS, 5000).astype(np.int64))
    fewest_hits, most_hits = np.zeros_like(n), n
    for number in numbers:
        if 0 <= number < share:
            fewest_hits = n - _significantly_few(n, 1 - number, level)
        elif share < number <= 1:
            most_hits = _significantly_few(n, number, level)
    few = np.where(fewest_hits > 0, bdtr(np.maximum(fewest_hits - 1, 0), n, share), 0.0)
    many = np.where(most_hits >= 0, bdtr(np.maximum(most_hits, 0), n, share), 0.0)
    enough = many - few >= 0.5
    return float(n[np.argmax(enough)]) if enough.any() else math.inf


def _significantly_few(n: Array, number: float, level: float) -> Array:
    """The most hits of n that are significantly fewer than this share; -1 where not even 0 are."""
    if number == 1:
        return n - 1
    hits: Array = np.ceil(np.nan_to_num(bdtrik(level, n, number))).astype(np.int64)
    for _ in range(2):
        hits = hits - ((hits >= 0) & (bdtr(np.maximum(hits, 0), n, number) > level))
    return hits
