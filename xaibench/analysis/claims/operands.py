"""The two sides of a claim: which results each is about, as values of independent units."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from xaibench.analysis.case_exclusions import without_excluded
from xaibench.analysis.leaderboard.score_matrix import FLOOR, unique_names
from xaibench.analysis.statistics import intervals
from xaibench.core.components import Kind
from xaibench.core.gates import Gate, gate_of
from xaibench.core.known_names import all_components
from xaibench.suite import Claim, ScoreSelection, has_params

_GROUP = ["dataset", "model", "explainer", "explainer_params", "metric", "params", "asked_output"]


class ClaimResults:
    """Results with what selections look at, worked out once."""

    def __init__(self, results: pd.DataFrame) -> None:
        self.cells = without_excluded(results).reset_index(drop=True)
        asked = self.cells.get("asked_output", pd.Series(None, self.cells.index, dtype=object))
        self.cells["asked_output"] = asked.where(asked.notna(), "").astype(str)
        self._bound: dict[tuple[Kind, str, Any], dict[str, Any]] = {}

    def _has(self, kind: Kind, name: str, text: Any, wanted: dict[str, Any]) -> bool:
        key = (kind, name, text)
        if key not in self._bound:
            self._bound[key] = _parameters(*key)
        return has_params(self._bound[key], wanted)

    def take(self, wanted: ScoreSelection) -> pd.DataFrame:
        """Cells that a side of a claim is about, apart from those that are unavailable."""
        chosen = self.cells["status"] != "unsupported"
        for column in ("dataset", "model", "explainer"):
            names = {n: _matches(n, getattr(wanted, column)) for n in self.cells[column].unique()}
            chosen &= self.cells[column].map(names).astype(bool)
        # A control is named by itself: "every explainer" means those that look at the model.
        literal = self.cells["explainer"].isin(wanted.explainer)
        chosen &= literal | ~self.cells["control"].astype(bool)
        if wanted.gate is None:
            chosen &= self.cells["metric"].map(lambda name: _matches(name, wanted.metric)).astype(bool)
            chosen &= self.cells["asked_output"] == (wanted.output or "")
        sides: tuple[tuple[Kind, str, dict[str, Any]], ...] = (
            ("metric", "params", wanted.params),
            ("explainer", "explainer_params", wanted.explainer_params),
        )
        for kind, column, given in sides:
            if given:
                pairs = zip(self.cells[kind], self.cells[column], strict=True)
                chosen &= np.array([self._has(kind, name, text, given) for name, text in pairs], dtype=bool)
        return self.cells[chosen]


def _parameters(kind: Kind, name: str, text: Any) -> dict[str, Any]:
    """Parameters of a row (JSON), with the defaults that rows leave out where the component is known."""
    found: dict[str, Any] = json.loads(text) if isinstance(text, str) else {}
    # Only what is registered: a name in a store must not make anything be imported.
    known = next((spec for spec in all_components(kind) if spec.name == name), None)
    return found if known is None else known.completed(found)


def _matches(name: str, globs: Sequence[str]) -> bool:
    """Whether a name, as it is shown or without its parameters, fits any glob."""
    return any(fnmatchcase(n, glob) for n in (name, name.partition("(")[0]) for glob in globs)


@dataclass(frozen=True)
class Operand:
    """One side of a claim.

    Attributes
    ----------
    values : Series
        A value for every independent unit.
    name : str
        Of the explainer or problem, where the side is about every one.
    explainers : frozenset of str
    """

    values: pd.Series[float]
    name: str = ""
    explainers: frozenset[str] = frozenset()


class UndecidedError(Exception):
    """Why a claim cannot be judged."""


def sides(prepared: ClaimResults, claim: Claim) -> Iterator[tuple[Operand, Operand | None]]:
    """Every comparison that must hold."""
    lefts = list(_values(prepared, claim, claim.left, "left"))
    if claim.right is None:
        yield from ((left, None) for left in lefts)
        return
    rights = list(_values(prepared, claim, claim.right, "right"))
    # Where problems and metric are the same, "every other method" does not mean the method itself.
    alike = ("dataset", "model", "metric", "params", "output", "explainer_params", "gate")
    itself = all(getattr(claim.left, name) == getattr(claim.right, name) for name in alike)
    # "Each falls": the same explainers on two problems, or with two metrics, are compared one by one.
    each = claim.left.every and claim.right.every and claim.left.gate is None and not itself
    matched = each and claim.left.explainer == claim.right.explainer
    for left in lefts:
        for right in rights:
            same = left.explainers == right.explainers
            if (matched and same) or not (matched or (itself and claim.right.every and same)):
                yield left, right


def _values(prepared: ClaimResults, claim: Claim, wanted: ScoreSelection, side: str) -> Iterator[Operand]:
    """The values of a side, apart for every explainer (or problem, of gates) where it says so."""
    cells = prepared.take(wanted)
    if cells.empty:
        raise UndecidedError(f"no results match the {side} side of the claim")
    if wanted.gate is None:
        _check_scored(cells, side)
        _check_gates(cells, claim)
    by = ["dataset", "model"] if wanted.gate is not None else ["explainer", "explainer_params"]
    groups = cells.groupby(by, sort=True, dropna=False) if wanted.every else [(None, cells)]
    for _, group in groups:
        explainers = frozenset(group["explainer"])
        name = f"{group['dataset'].iloc[0]}/{group['model'].iloc[0]}" if wanted.gate else ", ".join(sorted(explainers))
        if wanted.gate is not None:
            values = _gate_values(group, wanted.gate, side)
        elif claim.statistic == "agreement":
            values = _agreement(prepared, group, claim)
        else:
            values = _per_sample(group) if claim.unit == "sample" else _per_training(group)
        yield Operand(values, name if wanted.every else "", explainers)


def _check_scored(cells: pd.DataFrame, side: str) -> None:
    """Refuse results with gaps: what is left might be a choice."""
    undone = cells[~cells["status"].isin(("ok", "undefined"))]
    if len(undone):
        states = ", ".join(f"{n} {s}" for s, n in sorted(undone["status"].value_counts().items()))
        raise UndecidedError(f"{len(undone)} of {len(cells)} cells of {side} have no scores ({states})")


def _check_gates(cells: pd.DataFrame, claim: Claim) -> None:
    """Refuse results of problems with a failed gate that the claim does not tolerate; single cases are left out."""
    columns = ["dataset", "model", "gates", "gate_passed"]
    for dataset, model, text, passed in cells[columns].drop_duplicates(columns[:3]).itertuples(index=False):
        for gate in _gates(text):
            alone = bool(gate.case) and passed is not False
            if not gate.passed and not alone and not any(fnmatchcase(gate.name, glob) for glob in claim.despite):
                raise UndecidedError(f"a gate of {dataset}/{model} failed: {gate}")


def _gates(text: Any) -> list[Gate]:
    known = json.loads(text) if isinstance(text, str) else []
    return [gate_of(g) for g in known]


def _gate_values(cells: pd.DataFrame, name: str, side: str) -> pd.Series[float]:
    """Measured values of a gate, one per trained model, those of several problems averaged."""
    found: dict[tuple[str, str, int], float] = {}
    columns = ["dataset", "model", "problem_seed", "gates"]
    names, expected = set(), set()
    for dataset, model, number, text in cells[columns].drop_duplicates().itertuples(index=False):
        expected.add((dataset, model, int(number)))
        for gate in _gates(text):
            if fnmatchcase(gate.name, name):
                names.add(gate.name)
                found[dataset, model, int(number)] = gate.value
    if not found:
        raise UndecidedError(f"no problem of {side} has a gate called {name}")
    if len(names) > 1:
        raise UndecidedError(f"{name} fits several gates: {', '.join(sorted(names))}")
    if len(found) < len(expected):
        raise UndecidedError(f"{len(expected) - len(found)} of {len(expected)} trained models of {side} lack the gate")
    values = pd.Series(found)
    return values.groupby(level=2).mean()


def _long(cells: pd.DataFrame) -> pd.DataFrame:
    """Scores one per row, with what they are of: ``group``, problem seed, sample."""
    if cells["aggregate"].nunique() > 1:
        raise UndecidedError("scores that are compared in log10 and others cannot be averaged")
    groups = cells.groupby(_GROUP, sort=False, dropna=False).ngroup()
    parts = []
    for group, number, scores, ids, aggregate in zip(
        groups, cells["problem_seed"], cells["scores"], cells["sample_ids"], cells["aggregate"], strict=True
    ):
        values = np.asarray(scores, dtype=np.float64)
        if aggregate == "median_log10":
            values = np.log10(np.maximum(values, FLOOR))
        names = [str(name) for name in unique_names(ids, len(values))]
        parts.append(pd.DataFrame({"group": group, "seed": int(number), "sample": names, "score": values}))
    return pd.concat(parts, ignore_index=True)


def _per_sample(cells: pd.DataFrame) -> pd.Series[float]:
    """Mean score of every sample; one that is not defined for every explainer, metric and problem is left out.

    Draws are averaged first, and problem seeds that have the same sample: it is one unit still.
    """
    if (cells["scope"] == "dataset").any():
        raise UndecidedError('a score of a whole data set has no samples: unit = "training"')
    long = _long(cells)
    draws = long.groupby(["sample", "seed", "group"])["score"].mean()
    wide = draws.groupby(["sample", "group"]).mean().unstack("group")
    there = long.groupby(["sample", "group"]).size().unstack("group").notna()
    # A group that never had this sample (another problem) is no reason to leave it out.
    known = (wide.notna() | ~there).all(axis=1)
    means: pd.Series[float] = wide[known].mean(axis=1)
    return means


def _per_training(cells: pd.DataFrame) -> pd.Series[float]:
    """Value of every problem seed: mean over samples (median where the metric says so), then over groups."""
    long = _long(cells)
    units = long.groupby(["seed", "group", "sample"])["score"].mean()
    median = cells["aggregate"].iloc[0] == "median_log10"
    grouped = units.groupby(["seed", "group"])
    values = (grouped.median() if median else grouped.mean()).unstack("group")
    return values.dropna().mean(axis=1)


def _agreement(prepared: ClaimResults, cells: pd.DataFrame, claim: Claim) -> pd.Series[float]:
    """Kendall's tau, per problem seed, of explainers' values on this metric and on the reference, better as more."""
    from scipy.stats import kendalltau

    assert claim.reference is not None
    reference = prepared.take(claim.reference.model_copy(update={"explainer": claim.left.explainer}))
    same = ["dataset", "model", "explainer"]
    reference = reference[pd.MultiIndex.from_frame(reference[same]).isin(pd.MultiIndex.from_frame(cells[same]))]
    if reference.empty:
        raise UndecidedError("no results match the reference of the claim")
    _check_scored(reference, "reference")
    merits = [_merit(part) for part in (cells, reference)]
    both = pd.concat(merits, axis=1, keys=["score", "reference"]).dropna()
    taus = {
        key: kendalltau(part["score"], part["reference"]).statistic
        for key, part in both.groupby(level=["problem_seed", "dataset", "model"])
        if len(part) > 2
    }
    if not taus:
        raise UndecidedError("fewer than three explainers have both scores")
    means: pd.Series[float] = pd.Series(taus).dropna().groupby(level=0).mean()
    return means


def _merit(cells: pd.DataFrame) -> pd.Series[float]:
    """Value of each explainer on each trained model, larger meaning better."""
    sign = np.where(cells["higher_is_better"].astype(bool), 1.0, -1.0)
    centre = intervals.median if cells["aggregate"].iloc[0] == "median_log10" else intervals.nanmean
    value = np.array([float(centre(np.asarray(s, dtype=np.float64))) for s in cells["scores"]])
    by = ["problem_seed", "dataset", "model", "explainer", "explainer_params"]
    return pd.Series(sign * value, cells.index).groupby([cells[c] for c in by]).mean()
