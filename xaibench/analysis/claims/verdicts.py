"""Claims: published statements as tests of scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.claims.operands import ClaimResults, Operand, UndecidedError, sides
from xaibench.analysis.claims.sensitivity import turning_point
from xaibench.analysis.statistics import intervals
from xaibench.analysis.statistics.evidence import Evidence, of_differences, of_groups, of_share
from xaibench.analysis.statistics.levels import ONE_SIDED_ALPHA
from xaibench.core.keys import seed
from xaibench.core.types import Array
from xaibench.suite import Claim

STORED_ROUNDING = 1e-6
"""Scores are stored in float32: differences up to this share of them are none."""
CLAIM_VERDICTS = ("reproduced", "refuted", "inconclusive")
CLAIM_COLUMNS: dict[str, str] = {
    "suite": "str", "id": "str", "verdict": "str", "effect": "float64", "ci_low": "float64", "ci_high": "float64",
    "n": "int64", "n_informative": "int64", "unit": "str", "p": "float64", "direction": "str", "margin": "float64",
    "left": "float64", "right": "float64", "binding": "str", "statement": "str", "source": "str", "message": "str",
    "would_need_n": "float64", "critical_margin": "float64", "would_change": "str",
}  # fmt: skip


def claims_table(results: pd.DataFrame, claims: Sequence[Claim], *, suite: str) -> pd.DataFrame:
    """Judge claims by results.

    Parameters
    ----------
    results : DataFrame
        One row per cell, columns as in `xaibench.store.Row`; planned cells without a result have
        status ``missing``.
    claims : sequence of Claim
    suite : str
        Name that goes into the first column.

    Returns
    -------
    DataFrame
        One row per claim, in their order.

        - ``verdict``: *reproduced* if a one-sided test at 2.5 % and the 95 % interval both put the
          effect beyond the margin, on the claimed side; *refuted* if both put it short of the margin;
          else *inconclusive*, and ``message`` says why. *equal*: within the margin on both sides,
          or beyond one of them. Nothing is decided where a cell failed or is missing, where a gate
          failed that the claim does not tolerate, or by too few units for any test.
        - ``effect``, ``ci_low``, ``ci_high``: left minus right, or minus the number, with its 95 %
          interval over ``n`` units; ``left`` and ``right`` are means of these units.
          Scores that aggregate by the median of log10 are compared in log10.
        - ``n_informative``: units whose score differs from the other side's, or from the number. Where
          they are few, or some are far larger than the others, test and interval are too optimistic.
        - ``p``: of the test that the verdict rests on; if nothing is decided, that of the claim.
        - ``would_change``: what would change the verdict, in a sentence; ``would_need_n``: units that would
          decide it, if effect and spread stay as they are; ``critical_margin``: the margin at which the
          verdict tips, largest that is reproduced (*equal*: smallest), by the interval; NaN where units are
          too few for any test.
        - ``binding``: where a side is about *every* explainer, the one that decides.

    Notes
    -----
    A claim about *every* explainer, or every problem, makes several comparisons. It is reproduced only
    if each of them is, an intersection-union test, which needs no correction (Berger 1982). It would
    be refuted by any of them, so that the tests of refutation are corrected for their number (Holm
    1979); intervals are those of single comparisons. Of six trained models no comparison among
    several can refute: the least p is 1/64.
    """
    prepared = ClaimResults(results)
    rows = [{"suite": suite, **_judge(prepared, claim)} for claim in claims]
    return pd.DataFrame(rows, columns=list(CLAIM_COLUMNS)).astype(CLAIM_COLUMNS)


def comparisons(results: pd.DataFrame, claim: Claim) -> list[tuple[Operand, Operand | None]]:
    """Every comparison that a claim asks for, as values of independent units.

    Raises
    ------
    UndecidedError
        If the results do not allow it.
    """
    return list(sides(ClaimResults(results), claim))


def _judge(prepared: ClaimResults, claim: Claim) -> dict[str, Any]:
    facts = {k: getattr(claim, k) for k in ("id", "unit", "direction", "margin", "statement", "source")}
    facts |= {"verdict": "inconclusive", "n": 0, "n_informative": 0, "binding": None, "message": None}
    try:
        judged = [compare_operands(claim, left, right) for left, right in sides(prepared, claim)]
        if not judged:
            raise UndecidedError("left and right are the same explainers")
    except UndecidedError as reason:
        return {**facts, "message": str(reason)}
    found = min(_corrected(judged), key=partial(_favour, claim))
    return {**facts, **found, **turning_point(claim, found, n_comparisons=len(judged))}


def _corrected(judged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The comparisons of a claim, those that refute it corrected for how many could have (Holm 1979)."""
    adjusted = intervals.holm(np.array([found["p_refuted"] for found in judged]))
    return [_after_holm(found, float(p), len(judged)) for found, p in zip(judged, adjusted, strict=True)]


def _after_holm(found: dict[str, Any], p: float, n: int) -> dict[str, Any]:
    if found["verdict"] != "refuted":
        return found
    if p <= ONE_SIDED_ALPHA:
        return {**found, "p": p}
    return {
        **found,
        "verdict": "inconclusive",
        "message": f"contradicted, but not after correction for {n} comparisons",
    }


def _favour(claim: Claim, found: dict[str, Any]) -> tuple[int, float]:
    """How good a comparison is for the claim: refuted, inconclusive, reproduced, then by its effect."""
    order = {"refuted": 0, "inconclusive": 1, "reproduced": 2}[found["verdict"]]
    toward = {"greater": found["effect"], "less": -found["effect"], "equal": -abs(found["effect"])}
    return order, toward[claim.direction]


def compare_operands(claim: Claim, left: Operand, right: Operand | None) -> dict[str, Any]:
    """One comparison by itself: effect, interval, verdict and the rest of `claims_table`'s columns.

    ``p_refuted`` is the one-sided p of the test that would refute the claim.

    Raises
    ------
    UndecidedError
        If no unit has what it takes.
    """
    evidence = partial(_evidence, claim, left, right)
    plain = evidence(0.0)
    if plain.n == 0:
        raise UndecidedError("no unit has both scores" if right is not None else "no unit has a defined score")
    if claim.direction == "equal":
        upper, lower = evidence(claim.margin), evidence(-claim.margin)
        holds, fails = upper.below and lower.above, upper.above or lower.below
        p, p_refuted = max(upper.p_below, lower.p_above), min(upper.p_above, lower.p_below)
    else:
        border = evidence(claim.margin if claim.direction == "greater" else -claim.margin)
        holds, fails = (border.above, border.below) if claim.direction == "greater" else (border.below, border.above)
        p, p_refuted = border.p_above, border.p_below
        if claim.direction == "less":
            p, p_refuted = p_refuted, p
    if not plain.decidable:
        holds = fails = False
    verdict = "reproduced" if holds else "refuted" if fails else "inconclusive"
    pairs = None if right is None else _pairs(claim, left, right)
    why = None
    if not plain.decidable:
        why = f"{plain.n} {'samples' if claim.unit == 'sample' else 'trained models'} are too few for any test"
    return {
        "verdict": verdict,
        "effect": plain.mean,
        "ci_low": plain.low,
        "ci_high": plain.high,
        "n": plain.n,
        "n_informative": plain.n_informative,
        "p": p,
        "p_refuted": p_refuted,
        "left": float((left.values if pairs is None else pairs["left"]).mean()),
        "right": claim.number if right is None else float((right.values if pairs is None else pairs["right"]).mean()),
        "binding": " and ".join(s.name for s in (left, right) if s is not None and s.name) or None,
        "message": why,
        "decidable": plain.decidable,
        "share": float(left.values.mean()) if _is_share(claim, left, right) else None,
    }


def _evidence(claim: Claim, left: Operand, right: Operand | None, border: float) -> Evidence:
    """Evidence about the effect less ``border``."""
    if right is None:
        assert claim.number is not None
        values = left.values.to_numpy()
        if _is_share(claim, left, right):
            return of_share(values, claim.number + border)
        return of_differences(_beyond_rounding(values, claim.number + border), seed("claim", claim.id))
    paired = _pairs(claim, left, right)
    if paired is None:
        return of_groups(left.values.to_numpy(), right.values.to_numpy(), border)
    differences = _beyond_rounding(paired["left"].to_numpy(), paired["right"].to_numpy() + border)
    return of_differences(differences, seed("claim", claim.id))


def _pairs(claim: Claim, left: Operand, right: Operand) -> pd.DataFrame | None:
    """Values of the units that both sides have; None if none does, and samples are compared as groups."""
    paired = pd.concat([left.values, right.values], axis=1, keys=["left", "right"]).dropna()
    return None if paired.empty and claim.unit == "sample" else paired


def _is_share(claim: Claim, left: Operand, right: Operand | None) -> bool:
    """Whether the effect is a share of hits among samples, less a number."""
    hits = right is None and claim.unit == "sample" and len(left.values) > 0
    return hits and bool(np.isin(left.values, (0.0, 1.0)).all())


def _beyond_rounding(values: Array, others: Array | float) -> Array:
    """Differences, 0 where they are within what float32 keeps of the scores."""
    differences: Array = values - others
    size = np.maximum(1.0, np.maximum(np.abs(values), np.abs(others)))
    return np.where(np.abs(differences) <= STORED_ROUNDING * size, 0.0, differences)


def few_informative(n: Any, n_informative: Any) -> Any:
    """Whether less than half of the units of a claim differ, so that test and interval are too optimistic.

    Parameters
    ----------
    n, n_informative : int, or Series of int
        Units, and those whose difference is not 0; columns of `claims_table`.

    Returns
    -------
    bool, or Series of bool
    """
    return 2 * n_informative < n
