"""The tests that advice rests on: one outcome per explainer, metric and problem, and one vote per construct."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from xaibench.analysis.flags import is_false
from xaibench.analysis.leaderboard.columns import COMPARISON_GROUP, ENTRY
from xaibench.analysis.leaderboard.placebo_tests import TESTED_FAMILIES
from xaibench.analysis.statistics import intervals
from xaibench.core.components import ORACLE
from xaibench.core.types import Array

ADVICE_ALPHA = 0.001
"""Level of the tests of one explainer together. Of 50 explainers without any difference to the placebos, none is then
recommended or warned against with 95 % probability, whatever else is on the board."""
LEAST_SAMPLES = 30
"""Samples (or repeats) that a test needs to count: p-values this small rest on tails that fewer do not show."""
MOST_SAMPLE_FACTOR = 100.0
"""Times the samples beyond which no number is given: an estimate so far from the data says nothing."""
CONSTRUCT = ["family", "construct", "truth_kind"]
TestOutcome = Literal["won", "lost", "open", "few samples", "oracle fails", "audit"]
ConstructVote = Literal["for", "against", "split", "open"]
_DOUBLE = frozenset({"ground_truth", "certificate"})
_DISTRUSTED = ("weak", "broken")
_AUDITED = ["dataset", "model", "metric", "params", "asked_output"]
VOTE_COLUMNS = [*ENTRY, *CONSTRUCT, "won", "lost", "tested", "vote", "weight"]


def counted_tests(rows: pd.DataFrame, audit: pd.DataFrame | None = None) -> pd.DataFrame:
    """Tests of explainers against the placebos, corrected over the tests of each explainer alone.

    A leaderboard corrects over the explainers of each comparison, so that a verdict on one of them depends on who else
    is there. Advice must not: here the uncorrected p-values of all tests of an explainer are corrected together
    (Holm, `ADVICE_ALPHA`), separately for tests won and lost.

    Parameters
    ----------
    rows : DataFrame
        The rows of a leaderboard that count, from `xaibench.analysis.ranks.relative_ranks.counted`. Boards without
        ``p_placebo_alone`` are judged by their corrected p-values.
    audit : DataFrame, optional
        First table of `xaibench.audit`: metrics that it calls weak or broken on a problem do not count there.

    Returns
    -------
    DataFrame
        The rows with a test, with ``result``: ``won`` against every placebo, ``lost`` to some placebo, ``open``; or
        why the test does not count: ``few samples`` (below `LEAST_SAMPLES`, or so few of every trained model that no
        scores could pass), ``oracle fails`` (not even the oracle beats the placebos), ``audit``. ``samples_least``: the
        samples from which on a test of few counts. ``behind``: whether the value is worse than the best placebo's.
        ``sample_factor``: how many times as many samples would decide an open test if the difference stays what it
        is; NaN where the explainer is not ahead, and where they are more than `MOST_SAMPLE_FACTOR` times as many.
    """
    better, worse = ("p_placebo", "p_loses") if "p_placebo_alone" not in rows else ("p_placebo_alone", "p_loses_alone")
    p_loses = rows[worse] if worse in rows else pd.Series(np.nan, rows.index)
    tested = rows["family"].isin(TESTED_FAMILIES) & rows[better].notna() & ~rows["control"].astype(bool)
    # A column of all rows would bring them back where none is tested.
    found = rows[tested].assign(_better=rows.loc[tested, better], _worse=p_loses[tested])
    least = _samples_least(found)
    reason = np.select(
        [found["n"].to_numpy() < least, _oracle_fails(rows, found), _distrusted(found, audit)],
        ["few samples", "oracle fails", "audit"],
        "",
    )
    sign = np.where(found["higher_is_better"], 1.0, -1.0)
    values, others = (intervals.significant(found[c].to_numpy(np.float64)) for c in ("value", "placebo_value"))
    lead = sign * (values - others)
    outcome = np.where(reason == "", "open", reason).astype(object)
    factor = np.full(len(found), np.nan)
    for at in found.reset_index(drop=True).groupby(ENTRY, sort=False).indices.values():
        at = at[reason[at] == ""]
        p, q = found["_better"].to_numpy()[at], found["_worse"].to_numpy(np.float64)[at]
        outcome[at[(intervals.holm(p) < ADVICE_ALPHA) & (lead[at] > 0)]] = "won"
        outcome[at[(intervals.holm(q) < ADVICE_ALPHA) & (lead[at] < 0)]] = "lost"
        factor[at] = _sample_factor(p, len(at))
    still_open = (outcome == "open") & (lead > 0)
    return found.drop(columns=["_better", "_worse"]).assign(
        result=outcome,
        samples_least=least,
        behind=lead < 0,
        sample_factor=np.where(still_open & (factor <= MOST_SAMPLE_FACTOR), factor, np.nan),
    )


def _samples_least(found: pd.DataFrame) -> Array:
    """By test: samples with which it can be passed at all.

    A test is passed on the samples of every trained model alone, and n of them have no p-value below 2^-n: with
    n / seeds samples each that must be below `ADVICE_ALPHA` over the tests of the explainer. Samples without a defined
    score are in no test: where half are, twice as many are needed.
    """
    seeds = np.maximum(found["n_seeds"].fillna(1).to_numpy(np.float64), 1.0) if "n_seeds" in found else 1.0
    tests = found.groupby(ENTRY, sort=False)[ENTRY[0]].transform("size").to_numpy(np.float64)
    each = np.floor(np.log2(tests / ADVICE_ALPHA)) + 1
    scored = found["n"].to_numpy(np.float64)
    defined = np.maximum(scored - found["n_undefined"].to_numpy(np.float64), 1.0) if "n_undefined" in found else scored
    least: Array = np.ceil(np.maximum(seeds * each, LEAST_SAMPLES) * (scored / defined))
    return least


def _sample_factor(p: Array, n_tests: int) -> Array:
    """Samples that a test would need, relative to those behind these p-values: the squared ratio of normal scores."""
    from scipy.special import ndtri

    needed = -ndtri(ADVICE_ALPHA / max(n_tests, 1))
    reached = -ndtri(np.clip(p, 1e-300, 1.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(reached > 0, np.maximum(needed / reached, 1.0) ** 2, np.nan)


def _oracle_fails(rows: pd.DataFrame, found: pd.DataFrame) -> Array:
    """By test: whether the oracle is on the same comparison and does not beat the placebos there."""
    fails = rows[(rows["explainer"] == ORACLE) & rows["control"].astype(bool) & is_false(rows["beats_placebo"])]
    keys = set(fails[COMPARISON_GROUP].itertuples(index=False, name=None))
    return np.array([key in keys for key in found[COMPARISON_GROUP].itertuples(index=False, name=None)], dtype=bool)


def _distrusted(found: pd.DataFrame, audit: pd.DataFrame | None) -> Array:
    if audit is None or not set(_AUDITED) <= {*audit.columns, "asked_output"}:
        return np.zeros(len(found), dtype=bool)
    asked = audit["asked_output"].fillna("") if "asked_output" in audit else ""
    bad = audit.assign(asked_output=asked)[audit["verdict"].isin(_DISTRUSTED)]
    keys = set(bad[_AUDITED].itertuples(index=False, name=None))
    return np.array([key in keys for key in found[_AUDITED].itertuples(index=False, name=None)], dtype=bool)


def construct_votes(tests: pd.DataFrame, certificate: pd.DataFrame | None = None) -> pd.DataFrame:
    """One vote per explainer and construct, whatever the number of its metrics and problems.

    Parameters
    ----------
    tests : DataFrame
        From `counted_tests`.
    certificate : DataFrame, optional
        From `certificate_votes`.

    Returns
    -------
    DataFrame
        ``explainer, explainer_params``, the construct (``family, construct, truth_kind``), tests ``won``, ``lost`` and
        ``tested``; ``vote``: ``for`` where more than half are won and none is lost, ``split`` where more than half are
        won and some lost, ``against`` where some are lost and at most half won, else ``open``; ``weight``: 2 for
        ground truth and certificates, else 1.
    """
    countable = tests[tests["result"].isin(["won", "lost", "open"])]
    groups = countable.assign(won=countable["result"] == "won", lost=countable["result"] == "lost").groupby(
        [*ENTRY, *CONSTRUCT], sort=True, dropna=False
    )
    votes = groups.agg(won=("won", "sum"), lost=("lost", "sum"), tested=("won", "size")).reset_index()
    most, some = 2 * votes["won"] > votes["tested"], votes["lost"] > 0
    votes["vote"] = np.select([most & ~some, most, some], ["for", "split", "against"], "open")
    votes["weight"] = np.where(votes["family"].isin(_DOUBLE), 2, 1)
    if certificate is not None and len(certificate):
        votes = pd.concat([votes, certificate[VOTE_COLUMNS]], ignore_index=True) if len(votes) else certificate
    return votes[VOTE_COLUMNS]
