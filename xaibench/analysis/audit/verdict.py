"""The verdict on a metric, from what was measured, with a diagnosis in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xaibench.analysis.statistics.estimate import MIN_SAMPLES, Estimate
from xaibench.core.components import ORACLE

AUDIT_VERDICTS = ("trusted", "weak", "undecided", "broken", "does not run")
DEFECTS = ("constant", "ignores the explanation", "batch-coupled", "sign-flipped")
"""What makes a metric broken, and the first words of the diagnosis then."""
RELIABLE = 0.5
"""ICC below which reliability is called poor (Koo & Li 2016)."""
CLEAR_TREND = 0.5
COUPLED = 0.1
"""Share of scores that depend on the other samples in the batch. Near ties of an order may change a few."""
NOTE_SHARE, NOTE_AUROC, NOTE_RHO, NOTE_TAU, NOTE_DISTANCE = 0.1, 0.7, 0.5, 0.5, 0.5
"""From here on a diagnosis mentions what does not decide: undefined scores, samples that do not
compare, confidence, masker, budget."""
UNTRIED = "whether scores depend on the other samples was not tried"


def metric_verdict(row: Mapping[str, Any], gate_passed: bool) -> dict[str, Any]:
    """Verdict, trust and diagnosis of one metric on one problem.

    Parameters
    ----------
    row : mapping
        Numbers of `xaibench.analysis.audit.audit`, intervals as `Estimate`.
    gate_passed : bool
        Whether the problem's truth was checked and held.

    Returns
    -------
    dict
        ``verdict`` : one of `AUDIT_VERDICTS`. Broken: one of `DEFECTS`; the first two only where every
        problem says so, the last only where the truth does. Trusted: the lower ends of all
        three intervals clear their thresholds, AUROC .5, trend .5, ICC .5. Weak: one does not.
        Undecided: something is missing that would be needed to say so.
        ``trust`` : the smaller of trend and ICC, 0 where broken or where the AUROC does not clear
        .5, NaN where undecided. AUROC sets a gate and no size: it compares scores of different
        samples, and a leaderboard compares those of the same ones.
        ``diagnosis`` : why.
    """
    defect = _defect(row, gate_passed)
    if defect:
        return {"verdict": "broken", "trust": 0.0, "diagnosis": defect}
    lacking = _lacking(row, gate_passed)
    notes = _notes(row)
    if _equal(row):
        return {"verdict": "weak", "trust": 0.0, "diagnosis": f"{_equal(row)}, on this problem"}
    if lacking:
        return {"verdict": "undecided", "trust": np.nan, "diagnosis": "; ".join([lacking, *notes])}
    weak = _weaknesses(row)
    trust = max(0.0, min(row["trend"].value, row["icc"].value)) if row["auroc"].low > 0.5 else 0.0
    if weak:
        return {"verdict": "weak", "trust": trust, "diagnosis": "; ".join([*weak, *notes])}
    good = "keeps the known order, also with another seed"
    return {"verdict": "trusted", "trust": trust, "diagnosis": "; ".join([good, *notes])}


def _defect(row: Mapping[str, Any], gate_passed: bool) -> str:
    """What is broken for every reader; empty if nothing is."""
    if row["everywhere"] and _equal(row):
        return _equal(row)
    if row["coupled_most"] is not None and row["coupled_most"][1].value > COUPLED:
        where, coupled = row["coupled_most"]
        return (
            "batch-coupled: a score changes with the number of samples beside it, explanation and sample being "
            f"the same ({coupled.value:.0%} of the scores on {where})"
        )
    auroc, trend = row["auroc"], row["trend"]
    about_truth = row["contrast"].startswith(ORACLE)
    if gate_passed and about_truth and auroc.high < 0.5 and trend.high < 0:
        better, _, worse = row["contrast"].partition(" > ")
        return (
            f"sign-flipped: {worse.rpartition(' > ')[2]} scores better than {better} (AUROC {auroc.value:.2f}, "
            f"trend {trend.value:.2f})"
        )
    return ""


def _equal(row: Mapping[str, Any]) -> str:
    """Whether explanations make no difference; empty if they do."""
    if row["n"] and row["constant"] and row["n_explanations"] > 1:
        return "constant: every explanation of every sample gets the same score"
    return "ignores the explanation: all explanations of a sample get the same score" if row["blind"] else ""


def _lacking(row: Mapping[str, Any], gate_passed: bool) -> str:
    """What is missing for a verdict; empty if nothing is."""
    if not row["n"]:
        return "no defined score"
    if not gate_passed:
        return "a gate of the problem failed, so its truth need not be true"
    if not row["contrast"]:
        return "no explanations of known order under this metric"
    if not np.isfinite(row["trend"].low) or not np.isfinite(row["auroc"].low):
        return f"fewer than {MIN_SAMPLES} samples with a score"
    if not np.isfinite(row["icc"].value):
        if row["n_seeds"] < 2:
            return "one seed, so nothing is known about reliability"
        if not row["n_steady"]:
            return "no explanation is known to be the same with every seed, so nothing is known about reliability"
        return "scores of explanations that do not change have no variance"
    return "" if np.isfinite(row["icc"].low) else "too few samples for an interval of the ICC"


def _weaknesses(row: Mapping[str, Any]) -> list[str]:
    """Which thresholds are not cleared."""
    auroc, trend, icc = row["auroc"], row["trend"], row["icc"]
    found = []
    if auroc.low <= 0.5:
        found.append(f"does not separate the ends of {row['contrast']} (AUROC {_with_interval(auroc)})")
    if trend.high < 0:
        found.append(f"explanations score better as they get worse (trend {_with_interval(trend)})")
    elif trend.low <= 0:
        found.append(f"no trend over {row['contrast']} ({_with_interval(trend)})")
    elif trend.low < CLEAR_TREND:
        found.append(f"weak trend over {row['contrast']} ({_with_interval(trend)})")
    if icc.low < RELIABLE:
        found.append(f"another seed gives another score (ICC {_with_interval(icc)})")
    return found


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _notes(row: Mapping[str, Any]) -> list[str]:
    """What a user should know besides."""
    notes = []
    if row["undefined"] >= NOTE_SHARE:
        notes.append(f"undefined in {row['undefined']:.0%} of the scores")
    if row["contrast"] and row["auroc"].low > 0.5 and row["auroc"].value < NOTE_AUROC:
        notes.append(f"scores of different samples do not compare (AUROC {row['auroc'].value:.2f})")
    if row["coupled_most"] is None:
        notes.append(UNTRIED)
    rho = row.get("confidence_rho")
    if rho is not None and abs(rho.value) >= NOTE_RHO and rho.low * rho.high > 0:
        notes.append(f"follows the model's confidence (rho {rho.value:.2f})")
    tau = row.get("masker_tau")
    if tau is not None and tau.value < NOTE_TAU:
        notes.append(f"another masker ranks explainers otherwise (tau {tau.value:.2f})")
    distance = row.get("distance")
    if distance is not None and distance.value >= NOTE_DISTANCE:
        more = f"{row['budget_parameter']} = {row['largest_budget']}"
        notes.append(f"too few draws ({distance.value:.2f} of the spread of scores away from {more})")
    return notes
