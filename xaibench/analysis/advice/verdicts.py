"""The verdict of a leaderboard on every explainer: use, do not use, or undecided and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import pandas as pd

from xaibench.analysis.advice.certificate import certificate_votes
from xaibench.analysis.advice.no_explanations import no_explanations
from xaibench.analysis.advice.placebo_votes import CONSTRUCT, construct_votes, counted_tests
from xaibench.analysis.flags import is_false
from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY, PROBLEM
from xaibench.analysis.leaderboard.placebo_tests import TESTED_FAMILIES
from xaibench.analysis.ranks.quality_and_cost import seconds_per_sample
from xaibench.analysis.ranks.relative_ranks import counted
from xaibench.analysis.ranks.standings import CommonGround, Standings, standings
from xaibench.core.types import ExplainerKey
from xaibench.store.stopped_early import left_early

AdviceKind = Literal["use", "also", "avoid", "undecided", "untested"]
Cause = Literal[
    "", "contradicted", "one construct", "not shown", "few samples", "undefined", "raced", "no explanation", "no test"
]
OpenCause = Literal["none", "few samples", "oracle fails", "audit"]
ComparisonKey = tuple[str, str, str, str, str, str]
"""Values of `COMPARISON_GROUP`: problem and metric of a test."""
MIN_WEIGHT = 2
"""Votes that speak for an explainer before it is recommended; ground truth and certificates count double."""
MIN_DEFINED_SHARE = 0.9
MOST_NAMED = 3
"""Explainers that are recommended at most."""


@dataclass(frozen=True)
class ExplainerAdvice:
    """What a leaderboard says of one explainer.

    Attributes
    ----------
    entry : (str, str)
        Name and parameters.
    kind : {"use", "also", "avoid", "undecided", "untested"}
        ``use``: among the first three of those that tests speak for; ``also``: tests speak for it, and others are
        ahead, or equal and faster; ``avoid``: they speak against it; ``undecided``; ``untested``.
    cause : str
        Why it is undecided or untested; empty otherwise.
    ahead, behind : tuple of str
        Constructs that vote for it, and those in which some test was lost.
    lost : tuple of tuple
        Comparisons in which it lost to a placebo.
    won : tuple of tuple
        Comparisons in which it was better than every placebo.
    evidence : tuple of tuple
        Comparisons that its verdict rests on.
    seconds : float
        Mean wall time of one explanation of one sample, NaN if unknown.
    samples : int
        Samples that would decide it if the differences stay what they are, or from which on its tests count; 0 where
        no number can be given.
    certificate : tuple of int or None
        Plants found, not found and tried, where a certificate was given.
    place : int
        Overall rank, 0 where it has none.
    """

    entry: ExplainerKey
    kind: AdviceKind
    cause: Cause
    ahead: tuple[str, ...]
    behind: tuple[str, ...]
    lost: tuple[ComparisonKey, ...]
    won: tuple[ComparisonKey, ...]
    evidence: tuple[ComparisonKey, ...]
    seconds: float
    samples: int = 0
    certificate: tuple[int, int, int] | None = None
    place: int = 0


@dataclass(frozen=True)
class OpenConstruct:
    """A construct in which no explainer won a test against the placebos, why, and in which comparisons."""

    name: str
    cause: OpenCause
    evidence: tuple[ComparisonKey, ...]


@dataclass(frozen=True)
class AdviceScope:
    """What the advice is about: numbers of problems and data sets, samples per score, trained models per problem."""

    n_problems: int
    n_datasets: int
    least_samples: int
    most_samples: int
    fewest_trainings: int
    most_trainings: int
    n_failed_gates: int
    problems: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Advice:
    """What a leaderboard advises; explainers in the order in which they are named.

    Attributes
    ----------
    explainers : tuple of ExplainerAdvice
    unknown : tuple of OpenConstruct
    scope : AdviceScope
    compared : bool
        Whether anything was compared with placebos at all.
    counted : bool
        Whether some test counts of an explainer that asks the model, or a plant of a certificate.
    """

    explainers: tuple[ExplainerAdvice, ...]
    unknown: tuple[OpenConstruct, ...]
    scope: AdviceScope
    compared: bool
    counted: bool

    def of(self, *kinds: AdviceKind) -> list[ExplainerAdvice]:
        """The explainers of some kinds."""
        return [found for found in self.explainers if found.kind in kinds]

    def only(self, entries: Collection[ExplainerKey]) -> Advice:
        """The same about some of the explainers."""
        return replace(self, explainers=tuple(found for found in self.explainers if found.entry in entries))


def advise(
    board: pd.DataFrame,
    *,
    audit: pd.DataFrame | None = None,
    certificate: pd.DataFrame | None = None,
    order: Standings | None = None,
) -> Advice:
    """Judge the explainers of one suite's leaderboard by rules, never beyond what the tests show.

    - *Use*: at least two constructs vote for the explainer (`construct_votes`; ground truth and certificates count
      double), it lost to a placebo in no test, and it is defined on at least 90 % of what it supports. Of these the
      first of the overall order (`standings`) and those that the tests do not separate from it in most comparisons,
      the first three of them, and of equals the faster.
    - *Avoid*: more weight votes against it than for it.
    - Everything else is undecided, with the cause; so is an explainer that meets all of this and is behind a placebo
      in a test of too few samples, and one that never asks the model or is given the truth, whatever its tests say.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`; of one suite.
    audit : DataFrame, optional
        First table of `xaibench.audit`; metrics that it does not trust have no vote.
    certificate : DataFrame, optional
        Rows of ``certify.parquet``.
    order : Standings, optional
        `standings` of the board, where they are known.
    """
    rows = counted(board)
    tests = counted_tests(rows, audit)
    votes = construct_votes(tests, certificate_votes(certificate))
    order = standings(board) if order is None else order
    entries = order.explainers[~order.explainers["control"].astype(bool)]
    defined, seconds = _defined_share(rows), seconds_per_sample(rows)
    needed = tests[[*ENTRY, *COMPARISON_GROUP, "result", "n", "sample_factor", "samples_least", "behind"]]
    own_tests = {tuple(map(str, entry)): own for entry, own in needed.groupby(ENTRY, sort=False)}
    own_votes = {tuple(map(str, entry)): own for entry, own in votes.groupby(ENTRY, sort=False)}
    found = {
        entry: _judged(
            entry,
            own_tests.get(entry, needed.iloc[:0]),
            own_votes.get(entry, votes.iloc[:0]),
            defined.get(entry, 0.0),
            seconds.get(entry, np.nan),
        )
        for entry in entries[ENTRY].itertuples(index=False, name=None)
    }
    references = no_explanations(found)
    for entry in references:
        found[entry] = replace(found[entry], kind="undecided", cause="no explanation", samples=0)
    place = dict(zip(found, entries["place"].to_list(), strict=True))
    first = _first_group(rows, order.ground, [e for e, a in found.items() if a.kind == "use"], place)
    named = set(sorted(first, key=lambda e: (_at(place[e]), _rounded(found[e].seconds), e))[:MOST_NAMED])
    judged = [replace(a, kind="also") if a.kind == "use" and a.entry not in named else a for a in found.values()]
    raced = _raced(board)
    judged = [
        replace(a, kind="undecided", cause="raced") if a.kind == "untested" and a.entry in raced else a for a in judged
    ]
    judged = [replace(a, place=int(place[a.entry])) if place[a.entry] == place[a.entry] else a for a in judged]
    return Advice(
        tuple(sorted(judged, key=lambda a: _order(a, place))),
        _open_constructs(tests, votes, references),
        _scope(board, rows),
        bool(len(tests)) or certificate is not None,
        any(entry in own_votes for entry in found if entry not in references),
    )


def _judged(
    entry: ExplainerKey, own: pd.DataFrame, cast_: pd.DataFrame, defined: float, seconds: float
) -> ExplainerAdvice:
    """The advice on one explainer, by its tests and votes."""
    certified = cast_[cast_["family"] == "certificate"]
    ahead, behind = cast_[cast_["vote"] == "for"], cast_[cast_["lost"] > 0]
    against = int(cast_.loc[cast_["vote"] == "against", "weight"].sum())
    weight = int(ahead["weight"].sum())
    lost = _comparisons(own[own["result"] == "lost"])
    countable, few = own[own["result"].isin(["won", "lost", "open"])], own[own["result"] == "few samples"]
    few_behind = few[few["behind"].astype(bool)]
    tested = own if countable.empty else countable
    kind: AdviceKind = "undecided"
    cause: Cause = ""
    if own.empty and certified.empty:
        kind, cause = "untested", "no test"
    elif countable.empty and certified.empty:
        cause = "few samples" if len(few) else "not shown"
    elif against > weight:
        kind = "avoid"
    elif lost or against:
        cause = "contradicted"
    elif weight < MIN_WEIGHT:
        alone = len(cast_) == 1 and len(ahead) == 1
        cause = "one construct" if alone else "not shown"
    elif defined < MIN_DEFINED_SHARE:
        cause = "undefined"
    elif len(few_behind):
        cause, tested = "few samples", few_behind
    else:
        kind = "use"
    return ExplainerAdvice(
        entry, kind, cause, _names(ahead), _names(behind), lost,
        _comparisons(own[own["result"] == "won"]), _comparisons(tested), seconds, _samples_needed(own, cause),
        None if certified.empty else tuple(int(certified[c].sum()) for c in ("won", "lost", "tested")),  # type: ignore[arg-type]
    )  # fmt: skip


def _comparisons(tests: pd.DataFrame) -> tuple[ComparisonKey, ...]:
    keys = (tuple(map(str, key)) for key in zip(*(tests[c] for c in COMPARISON_GROUP), strict=True))
    return tuple(dict.fromkeys(cast("list[ComparisonKey]", list(keys))))


def _names(votes: pd.DataFrame) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.replace("_", " ") for name in votes["construct"]))


def _samples_needed(own: pd.DataFrame, cause: Cause) -> int:
    """Samples with which the open tests would speak for it: the median over tests, two digits; 0 if unclear.

    Of tests of too few samples: the number from which on they count.
    """
    if cause == "few samples":
        return int(own.loc[own["result"] == "few samples", "samples_least"].max())
    if cause != "not shown":
        return 0
    open_tests = own[own["result"] == "open"]
    needed = (open_tests["n"] * open_tests["sample_factor"]).dropna()
    if 2 * len(needed) <= len(open_tests):
        return 0
    size = float(needed.median())
    unit = 10 ** max(int(np.floor(np.log10(size))) - 1, 0)
    return int(np.ceil(size / unit) * unit)


def _raced(board: pd.DataFrame) -> set[ExplainerKey]:
    """Explainers that left some race early."""
    return {(str(e), str(p)) for e, p in board.loc[left_early(board), ENTRY].itertuples(index=False, name=None)}


def _defined_share(rows: pd.DataFrame) -> dict[ExplainerKey, float]:
    """By explainer: share of the samples of its supported cells with a defined score."""
    supported = rows[rows["status"] != "unsupported"]
    share = ((supported["n"] - supported["n_undefined"]) / supported["n"].where(supported["n"] > 0)).fillna(0.0)
    means = share.groupby([supported[c] for c in ENTRY], sort=False).mean()
    return {(str(key[0]), str(key[1])): float(v) for key, v in zip(means.index.tolist(), means, strict=True)}


def _first_group(
    rows: pd.DataFrame, ground: CommonGround | None, chosen: list[ExplainerKey], place: dict[ExplainerKey, float]
) -> list[ExplainerKey]:
    """The first of the chosen explainers, and those that tests do not separate from it in most comparisons."""
    if not chosen:
        return []
    ranked = [e for e in chosen if place[e] == place[e]] or chosen
    first = min(ranked, key=lambda e: _at(place[e]))
    # Boards of older versions do not say whom tests leave tied.
    if ground is None or place[first] != place[first] or "tie_group" not in rows:
        return ranked
    family = rows[(rows["family"] == ground.family) & rows["rank"].notna()]
    family = family[[*ENTRY, *COMPARISON_GROUP, "rank", "tie_group"]]
    best = family[(family[ENTRY] == list(first)).all(axis=1)].set_index(COMPARISON_GROUP)
    tied = [first]
    for entry in ranked:
        own = family[(family[ENTRY] == list(entry)).all(axis=1)].set_index(COMPARISON_GROUP)
        other = own[["rank", "tie_group"]].rename(columns={"rank": "rank_own", "tie_group": "tie_group_own"})
        both = best.join(other, how="inner")
        apart = [
            a < b and not set(str(x)) & set(str(y))
            for a, b, x, y in zip(both["rank"], both["rank_own"], both["tie_group"], both["tie_group_own"], strict=True)
        ]
        if entry != first and (place[entry] == place[first] or 2 * sum(apart) <= len(apart)):
            tied.append(entry)
    return tied


def _at(place: float) -> float:
    return place if place == place else np.inf


def _rounded(seconds: float) -> float:
    """Seconds to one digit, so that explainers of equal cost keep the order of their ranks."""
    if not seconds > 0:
        return 0.0 if seconds == 0 else np.inf
    unit = 10.0 ** np.floor(np.log10(seconds))
    return float(np.round(seconds / unit) * unit)


def _order(found: ExplainerAdvice, place: dict[ExplainerKey, float]) -> tuple[object, ...]:
    kinds = ("use", "also", "avoid", "undecided", "untested")
    if found.kind == "use":
        return kinds.index("use"), _rounded(found.seconds), _at(place[found.entry]), found.entry
    if found.kind == "avoid":
        return kinds.index("avoid"), -len(found.behind), -len(found.lost), found.entry
    return kinds.index(found.kind), _at(place[found.entry]), 0, found.entry


def _open_constructs(
    tests: pd.DataFrame, votes: pd.DataFrame, references: Collection[ExplainerKey]
) -> tuple[OpenConstruct, ...]:
    """Constructs in which no explainer won, references left out."""
    winners = [votes[votes["vote"] == "for"], tests[tests["result"] == "won"]]
    shown = {
        row[len(ENTRY) :]
        for part in winners
        for row in part[[*ENTRY, *CONSTRUCT]].itertuples(index=False, name=None)
        if row[: len(ENTRY)] not in references
    }
    found = []
    for key, group in tests.groupby(CONSTRUCT, sort=True):
        if tuple(key) in shown:
            continue
        outcomes = group["result"]
        countable = outcomes.isin(["won", "lost", "open"]).any()
        cause = cast(OpenCause, "none" if countable else str(outcomes.mode().iloc[0]))
        found.append(OpenConstruct(str(key[1]).replace("_", " "), cause, _comparisons(group)))
    return tuple(found)


def _scope(board: pd.DataFrame, rows: pd.DataFrame) -> AdviceScope:
    about = rows[rows["family"].isin(TESTED_FAMILIES) & (rows["n"] > 0)]
    about = about if len(about) else rows[rows["n"] > 0]
    problems = about[PROBLEM].drop_duplicates()
    failed = board[is_false(board["gate_passed"])][PROBLEM].drop_duplicates()
    counts = about[["n", "n_seeds"]] if len(about) else pd.DataFrame({"n": [0], "n_seeds": [0]})
    low, high = counts.min(), counts.max()
    return AdviceScope(
        n_problems=len(problems),
        n_datasets=problems["dataset"].nunique(),
        least_samples=int(low["n"]),
        most_samples=int(high["n"]),
        fewest_trainings=int(low["n_seeds"]),
        most_trainings=int(high["n_seeds"]),
        n_failed_gates=len(failed),
        problems=tuple(problems.itertuples(index=False, name=None)),
    )
