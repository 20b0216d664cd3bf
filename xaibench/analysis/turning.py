"""What would change the verdict on a claim: another margin, or more units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import bdtr, bdtrc, ndtri, stdtrit

from xaibench.analysis.paired import LEVEL
from xaibench.suite import Claim

MOST = 1_000_000
"""More units than this are called too many."""


def turning_point(claim: Claim, found: dict[str, Any], *, n_comparisons: int = 1) -> dict[str, Any]:
    """Columns ``would_need_n``, ``critical_margin`` and ``would_change`` of `xaibench.analysis.claims.claims_table`.

    Parameters
    ----------
    claim : Claim
    found : dict
        The comparison that decides, as `xaibench.analysis.claims.compare` gives it.
    n_comparisons : int
        Comparisons that the claim makes: what refutes it is corrected for them.
    """
    margin = critical_margin(claim, found["ci_low"], found["ci_high"])
    facts = {"would_need_n": math.nan, "critical_margin": margin}
    other = _other_margin(claim, margin, found["verdict"])
    if found["verdict"] != "inconclusive":
        return {**facts, "would_change": other}
    verdict, border = _nearest(claim, found["effect"])
    level = LEVEL if verdict == "reproduced" else LEVEL / n_comparisons
    need = units_needed(found, border, level)
    units = "samples" if claim.unit == "sample" else "training seeds"
    if math.isnan(need):
        more = f"no number of {units}: the effect is at the margin"
    elif need > MOST:
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


def _nearest(claim: Claim, effect: float) -> tuple[str, float]:
    """The verdict that this effect would get if it were known exactly, and the border that it must keep away from."""
    if claim.direction == "equal":
        border = math.copysign(claim.margin, effect)
        return ("reproduced" if abs(effect) < claim.margin else "refuted"), border
    border = claim.margin if claim.direction == "greater" else -claim.margin
    above = effect > border
    return ("reproduced" if above == (claim.direction == "greater") else "refuted"), border


def units_needed(found: dict[str, Any], border: float, level: float = LEVEL) -> float:
    """Units at which test and interval leave the border behind, if effect and spread stay what they are.

    Half of all repetitions with so many units would decide. NaN where the effect is on the border.

    Parameters
    ----------
    found : dict
        ``effect``, ``ci_low``, ``ci_high``, ``n``; ``share`` where the effect is a share less ``right``.
    border : float
    level : float
        One-sided.
    """
    distance = abs(found["effect"] - border)
    if distance == 0:
        return math.nan
    if found.get("share") is not None:
        return _of_share(found["share"], found["right"] + border, level)
    # Signs of fewer units than this cannot reach the level, however they fall.
    fewest = math.ceil(-math.log2(level))
    if math.isnan(found["ci_low"]) or found["ci_high"] == found["ci_low"]:
        return fewest
    half, n = (found["ci_high"] - found["ci_low"]) / 2, found["n"]
    spread = half * math.sqrt(n) / float(stdtrit(n - 1, 1 - LEVEL))
    normal = (float(ndtri(level)) * spread / distance) ** 2
    if normal > MOST:
        return math.inf
    # Student's t asks for a few units more than the normal distribution.
    need = max(fewest, 2, math.ceil(normal)) + np.arange(100)
    enough = stdtrit(need - 1, 1 - level) * spread / np.sqrt(need) < distance
    return float(need[np.argmax(enough)])


def _of_share(share: float, number: float, level: float) -> float:
    """Units at which the exact binomial test tells this share from a number."""
    if not 0 < number < 1:
        return math.inf if share in (0, 1) and share == number else float(math.ceil(-math.log2(level)))
    n = np.unique(np.geomspace(1, MOST, 5000).astype(np.int64))
    hits = np.rint(share * n)
    p = np.where(share > number, bdtrc(hits - 1, n, number), bdtr(hits, n, number))
    p = np.where((hits == 0) & (share > number), 1.0, p)
    enough = p <= level
    return float(n[np.argmax(enough)]) if enough.any() else math.inf
