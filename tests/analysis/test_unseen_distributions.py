"""Ranks are by means, and so are the tests, on distributions that nothing was tuned on; units change no verdict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers.gate_verdicts import verdict

from xaibench.analysis.leaderboard.paired_tests import paired_tests
from xaibench.analysis.statistics.mean_tests import two_sided

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SIMULATIONS = 1000
MEAN_ZERO: dict[str, Draw] = {
    "gamma(1/2)": lambda r, s: 0.5 - r.gamma(0.5, 1, s),
    "Weibull(.8)": lambda r, s: r.weibull(0.8, s) - 1.1330031,
    "Gumbel": lambda r, s: r.gumbel(0, 1, s) - 0.5772157,
    "Poisson(1)": lambda r, s: r.poisson(1, s) - 1.0,
    "hits of 7 in 10": lambda r, s: (r.random(s) < 0.7) - 0.7,
    "uniform": lambda r, s: r.uniform(-1, 1, s),
    "Laplace": lambda r, s: r.laplace(0, 1, s),
    "t with 5 degrees": lambda r, s: r.standard_t(5, s),
    "1 in 10 at 3": lambda r, s: np.where(r.random(s) < 0.1, 3.0, -1 / 3) + 0.1 * r.normal(size=s),
    "triangle": lambda r, s: r.triangular(0, 0, 1, s) - 1 / 3,
}


def shares(difference: np.ndarray) -> tuple[float, float]:
    """How often the first is separated from the second, and found better, both at 5 %."""
    size = len(difference)
    scores = np.concatenate([difference, np.zeros(difference.shape)])
    found = paired_tests(
        scores, np.full(scores.shape, 1e-12), np.arange(size), size + np.arange(size),
        higher_is_better=True, median=False,
    )  # fmt: skip
    return float((two_sided(found.above, found.below) < 0.05).mean()), float((2 * found.above < 0.05).mean())


@pytest.mark.parametrize("n", [48, 200])
@pytest.mark.parametrize("name", MEAN_ZERO)
def test_equal_means_are_seldom_told_apart(name: str, n: int) -> None:
    """At most 5 %, known to within .007 (one standard error); what is better by half a deviation is found at 200."""
    d = MEAN_ZERO[name](np.random.default_rng([n, *map(ord, name)]), (SIMULATIONS, n))
    assert shares(d)[0] < 0.05 + 3 * 0.007
    if n == 200:
        assert shares(d + 0.5 * d.std())[1] > 0.95


UNITS = [(2.5e-7, "value"), (3.1e-2, "logit"), (7.0, "margin"), (4.4e5, "value"), (6.02e11, "logit")]
VERDICTS = {1.5: "regressed", 1.0005: "changed", 0.5: "improved"}
"""By the factor of a score of which lower is better."""
UNITLESS = ["faithfulness_correlation", "monotonicity", "sparseness", "localisation_auc", "relevance_rank"]


@pytest.mark.parametrize(("unit", "output"), UNITS)
def test_units_change_no_verdict(unit: float, output: str) -> None:
    base = unit * np.random.default_rng(1).gamma(4, 0.1, 200)
    for factor, expected in VERDICTS.items():
        found = verdict(base, factor * base, "deletion", output=output)
        assert found["verdict"] == expected
        assert found["delta"] == pytest.approx(0.02 * base.mean(), rel=1e-6)


@pytest.mark.parametrize("metric", UNITLESS)
def test_shares_and_correlations_have_a_delta_of_their_own(metric: str) -> None:
    """.02 whatever the output is measured in: .03 less is worse, .01 less is a change that does not matter."""
    base = np.random.default_rng(2).uniform(0.3, 0.7, 200)
    noise = np.random.default_rng(3).normal(0, 0.001, 200)
    for fall, expected in ((0.03, "regressed"), (0.01, "changed")):
        row = verdict(base, base - fall + noise, metric, output="value", higher_is_better=True)
        assert (row["verdict"], row["delta"]) == (expected, pytest.approx(0.02)), (fall, row)
