"""What would change a verdict: tried out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit
from scipy.stats import binom

from xaibench.analysis.claims.verdicts import claims_table
from xaibench.suite import Claim

SIDES: dict[str, Any] = {"left": {"explainer": "a"}, "right": {"explainer": "b"}}


def judge(results: pd.DataFrame, **changes: Any) -> dict[str, Any]:
    given = {"id": "c", "source": "s", "statement": "t", **SIDES} | changes
    if "number" in changes:
        del given["right"]
    (row,) = claims_table(results, [Claim.model_validate(given)], suite="x").to_dict("records")
    return row


def exactly(mean: float, spread: float, n: int) -> np.ndarray:
    """Values with this very mean and standard deviation."""
    values = np.random.default_rng(0).normal(0, 1, n)
    return (values - values.mean()) / values.std(ddof=1) * spread + mean


def pair(mean: float, spread: float, n: int) -> pd.DataFrame:
    return make_results({"a": 5 + exactly(mean, spread, n), "b": np.full(n, 5.0)})


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.floats(0.12, 0.25), st.sampled_from(["greater", "less", "equal"]), st.booleans(), st.integers(8, 40),
    st.floats(0.3, 1),
)  # fmt: skip
def test_so_many_units_decide_and_clearly_fewer_do_not(
    distance: float, direction: str, holds: bool, n: int, margin: float
) -> None:
    """The same effect and spread over as many units as were said to be needed."""
    if direction == "equal":
        margin += 0.3  # the other border is out of reach
    border = -margin if direction == "less" else margin
    effect = border + (distance if holds == (direction == "greater") else -distance)
    row = judge(pair(effect, 1.0, n), direction=direction, margin=margin)
    expected = "reproduced" if holds else "refuted"
    assert row["verdict"] == "inconclusive"
    assert f"samples at this effect ({expected})" in row["would_change"]
    need = int(row["would_need_n"])
    enough, fewer = math.ceil(1.15 * need) + 3, math.floor(0.85 * need)
    assert n < fewer
    assert judge(pair(effect, 1.0, enough), direction=direction, margin=margin)["verdict"] == expected
    assert judge(pair(effect, 1.0, fewer), direction=direction, margin=margin)["verdict"] == "inconclusive"


def test_units_as_in_the_textbook() -> None:
    """Effect .2 at spread 1: (1.96 / .2)^2 = 97 for the normal distribution, 99 for Student's t."""
    row = judge(pair(0.2, 1.0, 40))
    assert (row["verdict"], row["would_need_n"]) == ("inconclusive", 99)
    assert row["would_change"] == "about 99 samples at this effect (reproduced)"
    assert judge(pair(0.2, 1.0, 99))["ci_low"] > 0
    assert judge(pair(0.2, 1.0, 98))["ci_low"] < 0


@pytest.mark.parametrize("direction", ["greater", "less", "equal"])
def test_the_critical_margin_is_where_the_verdict_tips(direction: str) -> None:
    sign = -1 if direction == "less" else 1
    row = judge(pair(sign * 0.5, 1.0, 200), direction=direction, margin=0.01)
    tip, wider = row["critical_margin"], direction == "equal"
    within, beyond = (1.05, 0.95) if wider else (0.95, 1.05)
    assert judge(pair(sign * 0.5, 1.0, 200), direction=direction, margin=within * tip)["verdict"] == "reproduced"
    assert judge(pair(sign * 0.5, 1.0, 200), direction=direction, margin=beyond * tip)["verdict"] != "reproduced"
    assert row["would_change"] == f"a margin above {tip:.2g}{' (reproduced)' if wider else ''}"


def test_a_refuted_claim_says_which_margin_would_hold() -> None:
    row = judge(pair(0.5, 1.0, 200), margin=0.9)
    assert (row["verdict"], row["would_change"]) == (
        "refuted",
        f"a margin below {row['critical_margin']:.2g} (reproduced)",
    )
    row = judge(pair(-0.5, 1.0, 200))
    assert row["verdict"] == "refuted"
    assert pd.isna(row["would_change"])
    assert row["critical_margin"] < 0


def test_trainings_are_counted_as_such() -> None:
    def trained(n: int) -> pd.DataFrame:
        frames = [make_results({"a": np.ones(4) + s / 100, "b": np.zeros(4)}, problem_seed=s) for s in range(n)]
        return concat(*frames)

    row = judge(trained(3), unit="training")
    assert row["would_need_n"] == 6
    assert row["would_change"] == "about 6 training seeds at this effect (reproduced)"
    assert math.isnan(row["critical_margin"]), "no margin makes three seeds a test"
    assert judge(trained(6), unit="training")["verdict"] == "reproduced"
    assert judge(trained(5), unit="training")["verdict"] == "inconclusive"
    row = judge(trained(1), unit="training")
    assert row["would_need_n"] == 6
    assert row["would_change"] == "at least 6 training seeds at this effect (reproduced)"
    assert math.isnan(row["critical_margin"])
    assert math.isnan(row["ci_low"])
    assert math.isnan(row["ci_high"])
    assert row["effect"] == 1


@pytest.mark.parametrize(("hits", "n", "number"), [(20, 20, 0.95), (0, 20, 0.05), (13, 20, 0.5), (5, 20, 0.4)])
def test_shares_follow_the_binomial_test(hits: int, n: int, number: float) -> None:
    def share(count: int) -> pd.DataFrame:
        return make_results({"a": (np.arange(count) < round(hits / n * count)).astype(float)})

    direction = "less" if hits / n < number else "greater"
    row = judge(share(n), number=number, direction=direction)
    need = int(row["would_need_n"])
    assert row["verdict"] == "inconclusive"
    assert judge(share(math.ceil(1.15 * need) + 3), number=number, direction=direction)["verdict"] == "reproduced"
    assert judge(share(math.floor(0.85 * need)), number=number, direction=direction)["verdict"] == "inconclusive"
    if hits == n:
        assert need == math.ceil(math.log(0.025) / math.log(number))


@pytest.mark.parametrize("effect", [0.0, 0.02, -0.05])
def test_equal_needs_units_for_both_borders(effect: float) -> None:
    """Half of the simulated repetitions decide, by two one-sided tests."""
    need = int(judge(pair(effect, 1.0, 40), direction="equal", margin=0.1)["would_need_n"])
    rng = np.random.default_rng(0)
    mean = effect + rng.standard_normal(20_000) / math.sqrt(need)
    half = stdtrit(need - 1, 0.975) * np.sqrt(rng.chisquare(need - 1, 20_000) / (need - 1) / need)
    assert np.mean((mean + half < 0.1) & (mean - half > -0.1)) == pytest.approx(0.5, abs=0.015)


def hits_of(n: int, hits: int) -> pd.DataFrame:
    return make_results({"a": (np.arange(n) < hits).astype(float)})


@pytest.mark.parametrize("share", [0, 1])
def test_equal_shares_at_the_end_of_their_scale(share: int) -> None:
    """A share beyond 0 and 1 is no border: .99^368 is the first power of .99 below .025."""
    equal: dict[str, Any] = {"number": float(share), "direction": "equal", "margin": 0.01}
    assert judge(hits_of(40, 40 * share), **equal)["would_need_n"] == 368
    assert judge(hits_of(368, 368 * share), **equal)["verdict"] == "reproduced"
    assert judge(hits_of(367, 367 * share), **equal)["verdict"] == "inconclusive"


def test_equal_shares_need_units_for_both_borders() -> None:
    equal: dict[str, Any] = {"number": 0.5, "direction": "equal", "margin": 0.1}
    need = int(judge(hits_of(40, 20), **equal)["would_need_n"])
    decided = [k for k in range(need + 1) if equal_by_scipy(k, need, 0.4, 0.6)]
    assert binom.pmf(decided, need, 0.5).sum() == pytest.approx(0.5, abs=0.05)


def equal_by_scipy(hits: int, n: int, low: float, high: float) -> bool:
    return bool(binom.sf(hits - 1, n, low) <= 0.025 and binom.cdf(hits, n, high) <= 0.025)


def test_what_no_number_of_units_decides() -> None:
    row = judge(pair(0.25, 1.0, 64), margin=0.25)
    assert "the effect is at the margin" in row["would_change"] or row["would_need_n"] > 1e6
    row = judge(pair(0.2501, 1.0, 64), margin=0.25)
    assert (row["would_need_n"], "more than a million" in row["would_change"]) == (math.inf, True)
    row = judge(make_results({"a": np.full(9, 0.25), "b": np.full(9, 0.25)}))
    assert (math.isnan(row["would_need_n"]), row["would_change"]) == (
        True,
        "no number of samples: the effect is at the margin",
    )


def test_nothing_is_promised_where_results_are_missing() -> None:
    row = judge(make_results({"a": "failed", "b": np.ones(4)}))
    assert math.isnan(row["would_need_n"])
    assert pd.isna(row["would_change"])


@pytest.mark.slow
def test_a_refutation_among_many_needs_more_units() -> None:
    rng = np.random.default_rng(99)
    values = {f"e{i:02}": rng.normal(0, 0.1, 60) for i in range(20)}
    values["bad"] = exactly(-0.33, 1.0, 60)
    every = {"explainer": "*", "every": True}
    row = judge(make_results(values), left=every, number=0.0)
    assert (row["verdict"], row["binding"]) == ("inconclusive", "bad")
    alone = judge(make_results({"bad": exactly(-0.33, 1.0, 30)}), left=every, number=0.0)
    assert row["would_need_n"] > alone["would_need_n"]
    more = {**values, "bad": exactly(-0.33, 1.0, math.ceil(1.2 * row["would_need_n"]))}
    fits = {name: np.resize(v, len(more["bad"])) if name != "bad" else v for name, v in more.items()}
    assert judge(make_results(fits), left=every, number=0.0)["verdict"] == "refuted"
