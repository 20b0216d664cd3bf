"""The certificate: per explainer the reliance from which on it shows a shortcut, with intervals, tests and order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.certificates.finding_tests import LEAST_DECISIVE, finding_p
from xaibench.analysis.certificates.fitted_copies import Copy, CopySet, ExplainedCopy, Explaining
from xaibench.analysis.certificates.reliance_curve import RelianceCurve, reliance_curve
from xaibench.analysis.statistics.intervals import holm
from xaibench.analysis.statistics.letter_display import letters
from xaibench.analysis.statistics.levels import ALPHA
from xaibench.core.components import ORACLE
from xaibench.core.types import Array

CURVE_RESAMPLES = 1000
KNOWS_THE_PLACE = frozenset({"other_sample"})
"""Controls that are not placebos in tables: where the plant is in the same column of every row, they know it."""


@dataclass(frozen=True)
class Certificate:
    """Which explainers show the shortcut.

    Attributes
    ----------
    copies : DataFrame
        One row per level, copy and explainer; see `COPY_COLUMN_DESCRIPTIONS`.
    thresholds : DataFrame
        One row per explainer, the best first; see `THRESHOLD_COLUMN_DESCRIPTIONS`.
    curves : mapping of str to RelianceCurve
        By explainer.
    proved : bool
        Whether any copy above level 0 passed its gates.
    failures : tuple of (float, int, tuple of str)
        Level, copy and reasons of the copies that were left out, null twins included.
    """

    copies: pd.DataFrame
    thresholds: pd.DataFrame
    curves: dict[str, RelianceCurve]
    proved: bool
    failures: tuple[tuple[float, int, tuple[str, ...]], ...]


def certify_copies(found: CopySet, *, seed: int = 0, place_is_fixed: bool = True) -> Certificate:
    """Certificate of a set of copies.

    Parameters
    ----------
    found : CopySet
    seed : int
        Of the resamples behind intervals.
    place_is_fixed : bool
        Whether the plant is at the same place in every row, as in tables.
    """
    proved = [copy for copy in found.proved if copy.shown]
    measured = _Measured(found, proved)
    draws = _Resamples(found, proved, seed)
    curves, boots, rows = {}, {}, []
    adjusted = adjusted_p(found, place_is_fixed=place_is_fixed)
    for one in found.explainers:
        curve = reliance_curve(measured.anchors, measured.reliance, measured.nets(one.label))
        curves[one.label] = curve
        boots[one.label] = draws.thresholds(measured, one.label)
        rows.append(_threshold_row(one, found, measured, curve, boots[one.label], adjusted))
    table = _ordered(pd.DataFrame(rows), boots)
    failures = [(c.level, c.number, tuple(found.failures(c))) for c in found.copies]
    return Certificate(_copy_rows(found, measured), table, curves, bool(proved), tuple(f for f in failures if f[2]))


class _Measured:
    """Found, and found on the null twin, in the decisive rows of every copy that counts."""

    def __init__(self, found: CopySet, proved: list[Copy]) -> None:
        self.found, self.proved = found, proved
        self.reliance = np.array([copy.reliance for copy in proved])
        numbers = {copy.number for copy in proved}
        self.anchors = np.array([c.reliance for c in found.copies if c.level == 0 and c.number in numbers])

    def pair(self, copy: Copy, label: str) -> tuple[Array, Array]:
        """Found on a copy and on its twin (N,): NaN where one is undefined, or the plant does not decide the row."""
        own, twin = copy.shown.get(label), self.found.twin(copy.number)
        n = len(copy.samples)
        other = None if twin is None else twin.shown.get(label)
        if own is None or other is None or twin is None or twin.samples != copy.samples:
            return np.full(n, np.nan), np.full(n, np.nan)
        known = own.decisive & np.isfinite(own.found) & np.isfinite(other.found)
        return np.where(known, own.found, np.nan), np.where(known, other.found, np.nan)

    def net(self, copy: Copy, label: str) -> Array:
        own, other = self.pair(copy, label)
        difference: Array = own - other
        return difference

    def nets(self, label: str) -> Array:
        """Net of every copy that counts (P,)."""
        return np.array([_mean(self.net(copy, label)) for copy in self.proved])

    def at(self, level: float) -> list[Copy]:
        return [copy for copy in self.proved if copy.level == level]

    @property
    def levels(self) -> list[float]:
        return sorted({copy.level for copy in self.proved})


class _Resamples:
    """Copies drawn with replacement, then test rows: the same draws for all explainers."""

    def __init__(self, found: CopySet, proved: list[Copy], seed: int) -> None:
        rng = np.random.Generator(np.random.Philox(seed))
        numbers = sorted({copy.number for copy in proved})
        n = max((len(copy.samples) for copy in proved), default=0)
        self.rows = rng.multinomial(n, np.full(n, 1 / n), size=CURVE_RESAMPLES) if n else np.empty((CURVE_RESAMPLES, 0))
        k = len(numbers)
        drawn = (
            rng.multinomial(k, np.full(k, 1 / k), size=CURVE_RESAMPLES)
            if k > 1
            else np.ones((CURVE_RESAMPLES, max(k, 1)))
        )
        place = {number: i for i, number in enumerate(numbers)}
        self.weights = np.stack([drawn[:, place[c.number]] for c in proved], axis=1) if proved else drawn[:, :0]

    def thresholds(self, measured: _Measured, label: str) -> Array:
        """Threshold of every resample (B,); infinite where one half is never reached."""
        if not measured.proved:
            return np.full(CURVE_RESAMPLES, np.inf)
        nets = np.full((CURVE_RESAMPLES, len(measured.proved)), np.nan)
        for i, copy in enumerate(measured.proved):
            values = measured.net(copy, label)
            known = np.isfinite(values)
            mass = self.rows[:, : len(values)] @ known.astype(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                nets[:, i] = (self.rows[:, : len(values)] @ np.where(known, values, 0.0)) / mass
        pairs = zip(nets, self.weights.astype(np.float64), strict=True)
        curves = (reliance_curve(measured.anchors, measured.reliance, net, weight) for net, weight in pairs)
        return np.array([curve.threshold[0] for curve in curves])


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def placebos(found: CopySet, *, place_is_fixed: bool) -> list[str]:
    """Controls that know neither the truth nor the place of the plant."""
    left_out = {ORACLE, *(KNOWS_THE_PLACE if place_is_fixed else ())}
    return [e.label for e in found.explainers if e.control and e.label.partition("(")[0] not in left_out]


def adjusted_p(found: CopySet, *, place_is_fixed: bool = True) -> dict[tuple[str, float], float]:
    """p of every explainer at every level after Holm's correction: it finds more than on the twin, and every placebo.

    Parameters
    ----------
    found : CopySet
    place_is_fixed : bool
        Whether the plant is at the same place in every row, as in tables.

    Returns
    -------
    dict of (str, float) to float
        By explainer and level; controls, and explainers without decisive rows at a level, are left out. Empty where
        there is no test: with one copy of a recipe that is not deterministic.
    """
    if not found.tested:
        return {}
    measured, alone = _Measured(found, [copy for copy in found.proved if copy.shown]), not found.deterministic
    against = placebos(found, place_is_fixed=place_is_fixed)
    ranked = [e.label for e in found.explainers if not e.control]
    raw: dict[tuple[str, float], float] = {}
    for level in measured.levels:
        copies = measured.at(level)
        others = {name: [measured.pair(copy, name)[0] for copy in copies] for name in against}
        others = {name: found for name, found in others.items() if any(np.isfinite(part).any() for part in found)}
        for label in ranked:
            own = [measured.pair(copy, label)[0] for copy in copies]
            if not any(np.isfinite(values).any() for values in own):
                continue
            compared = [[measured.net(copy, label) for copy in copies]]
            compared += [[a - b for a, b in zip(own, other, strict=True)] for other in others.values()]
            p = [finding_p(differences, copies_alone=alone) for differences in compared]
            raw[label, level] = max(p)
    if not raw:
        return {}
    return dict(zip(raw, holm(np.array(list(raw.values()))).tolist(), strict=True))


def _threshold_row(
    one: Explaining,
    found: CopySet,
    measured: _Measured,
    curve: RelianceCurve,
    boots: Array,
    adjusted: dict[tuple[str, float], float],
) -> dict[str, Any]:
    threshold, censored = curve.threshold
    low, high = np.quantile(boots, [0.025, 0.975], method="nearest") if len(measured.proved) else (np.nan, np.nan)
    p = [adjusted[one.label, level] for level in measured.levels if (one.label, level) in adjusted]
    full = measured.at(measured.levels[-1]) if measured.levels else []
    pairs = [measured.pair(copy, one.label) for copy in full]
    decided = [int(np.isfinite(own).sum()) for own, _ in pairs]
    twins = [c.shown[one.label].found for c in found.copies if c.level == 0 and one.label in c.shown]
    return {
        "explainer": one.label,
        "explainer_params": one.params,
        "control": one.control,
        "threshold": threshold,
        "threshold_low": float(low),
        "threshold_high": float(high),
        "censored": censored,
        "area": curve.area,
        "found_at_full_level": _mean(np.array([_mean(own) for own, _ in pairs])),
        "net_at_full_level": _mean(np.array([_mean(own - other) for own, other in pairs])),
        "found_on_twin": _mean(np.array([_mean(values) for values in twins])),
        "n_decisive": min(decided, default=0),
        "n_copies": len({copy.number for copy in measured.proved}),
        "p": min(p, default=float("nan")),
        "finds": bool(p and min(p) <= ALPHA and np.isfinite(threshold)),
        "ranked": found.tested and not one.control and min(decided, default=0) >= LEAST_DECISIVE,
    }


def _ordered(table: pd.DataFrame, boots: dict[str, Array]) -> pd.DataFrame:
    """Rows from the lowest threshold, controls last, with letters of those that the resamples do not separate."""
    key = table.assign(
        last=table["control"], first=~table["ranked"], t=table["threshold"].fillna(np.inf), a=-table["area"].fillna(0)
    )
    table = table.loc[key.sort_values(["last", "first", "t", "a", "explainer"]).index].reset_index(drop=True)
    ranked = table.index[table["ranked"]].to_numpy()
    groups = [""] * len(table)
    if len(ranked):
        draws = [boots[label] for label in table.loc[ranked, "explainer"]]
        differ = np.array([[_differ(a, b) for b in draws] for a in draws])
        for i, text in zip(ranked.tolist(), letters(differ, np.arange(len(ranked))), strict=True):
            groups[i] = text
    return table.assign(tie_group=groups)


def _differ(a: Array, b: Array) -> bool:
    """Whether the 95 % interval of the difference of two thresholds leaves out 0; never less never is 0."""
    with np.errstate(invalid="ignore"):
        differences = np.where(np.isinf(a) & np.isinf(b), 0.0, a - b)
    low, high = np.quantile(differences, [0.025, 0.975], method="nearest")
    return bool(low > 0 or high < 0)


def _copy_rows(found: CopySet, measured: _Measured) -> pd.DataFrame:
    rows = []
    for copy in sorted(found.copies, key=lambda c: (c.level, c.number)):
        failed = found.failures(copy)
        twin = found.twin(copy.number)
        about = {
            "plant": found.plant,
            "level": copy.level,
            "copy": copy.number,
            "reliance": copy.reliance,
            "dominance": copy.dominance,
            "clean_accuracy": copy.clean_accuracy,
            "gates": json.dumps([gate.document for gate in copy.gates]),
            "gates_passed": not failed,
            "failed": "; ".join(failed),
        }
        for one in found.explainers:
            own = copy.shown.get(one.label)
            if own is None:
                continue
            hits, others = measured.pair(copy, one.label)
            beside = None if twin is None else twin.shown.get(one.label)
            rows.append(
                {
                    **about,
                    "explainer": one.label,
                    "explainer_params": one.params,
                    "control": one.control,
                    "found": _mean(hits) if copy.level else float("nan"),
                    "found_all": _mean(own.found),
                    "found_overdetermined": _mean(np.where(own.decisive, np.nan, own.found)),
                    "found_on_twin": _mean(others) if copy.level else _mean(own.found),
                    "net": _mean(hits - others) if copy.level else float("nan"),
                    "auroc": _auroc(own, beside) if copy.level else float("nan"),
                    "n": int(np.isfinite(hits).sum()) if copy.level else 0,
                    "n_rows": len(copy.samples),
                    "seconds": own.seconds,
                    "fingerprint": copy.fingerprint,
                }
            )
    return pd.DataFrame(rows)


def _auroc(own: ExplainedCopy, twin: ExplainedCopy | None) -> float:
    """Probability that the plant stands higher in the order on the copy than on the twin, in decisive rows."""
    if twin is None or len(twin.place) != len(own.place):
        return float("nan")
    known = own.decisive & np.isfinite(own.place) & np.isfinite(twin.place)
    if not known.any():
        return float("nan")
    a, b = own.place[known][:, None], twin.place[known][None, :]
    return float((a > b).mean() + 0.5 * (a == b).mean())
