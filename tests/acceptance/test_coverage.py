"""How often 95 % intervals of the leaderboard hold what they say they estimate, by simulation.

``pytest tests/acceptance/test_coverage.py -s`` prints every share. A thousand simulations give a share
to within 0.014 (two standard errors).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from xaibench.analysis.leaderboard.columns import CONDITIONAL, RETRAINED
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.analysis.ranks.overall import NEW_PROBLEMS, overall

SIMULATIONS = 1000
SAMPLES = 48
CLUSTERS = (3, 5, 10, 30)
Draw = Callable[[np.random.Generator, Any], np.ndarray]

SCORES: dict[str, tuple[Draw, float]] = {
    "exponential": (lambda r, size: r.exponential(1, size), 1.0),
    "log-normal": (lambda r, size: r.lognormal(0, 1, size), float(np.exp(0.5))),
    "beta(1/2, 2)": (lambda r, size: r.beta(0.5, 2, size), 0.2),
    "1 in 5 hits": (lambda r, size: (r.random(size) < 0.2).astype(float), 0.2),
}
EFFECTS: dict[str, Draw] = {
    "none": lambda r, size: np.zeros(size),
    "normal": lambda r, size: r.normal(0, 1, size),
    "skewed": lambda r, size: r.exponential(1, size) - 1,
}


def cells(scores: np.ndarray, *, aggregate: str = "mean") -> pd.DataFrame:
    """Result rows of one problem: scores (simulations, training seeds, samples), every simulation an explainer.

    They are controls, which are neither ranked nor compared with each other.
    """
    simulations, clusters, samples = scores.shape
    ids = np.array([f"row{i}" for i in range(samples)], dtype=object)
    constant = {
        "dataset": "data", "model": "cnn", "selection": "first", "metric": "m", "params": "{}",
        "explainer_params": "{}",
        "asked_output": None, "output": "logit", "family": "complexity", "truth_kind": None, "conversion": None,
        "sign": None, "channels": None, "scope": "sample", "higher_is_better": True, "aggregate": aggregate,
        "skill_valid": False, "control": True, "seed": 0, "repeat": 0, "status": "ok", "message": None,
        "gate_passed": True, "gates": "[]", "explain_seconds": 0.0, "score_seconds": 0.0,
    }  # fmt: skip
    number, seed = np.divmod(np.arange(simulations * clusters), clusters)
    return pd.DataFrame(
        {
            "explainer": [f"simulation {i:05}" for i in number],
            "problem_seed": seed,
            "fingerprint": seed.astype(str),
            "scores": list(scores.reshape(-1, samples).astype(np.float32)),
            "sample_ids": [ids] * (simulations * clusters),
            **constant,
        }
    )


def covered(low: Any, high: Any, truth: float, label: str) -> float:
    """Share of the intervals that hold the truth; one that is not there holds nothing."""
    share = float(((np.asarray(low) <= truth) & (truth <= np.asarray(high))).mean())
    print(f"{label}: {share:.3f}")
    return share


def clustered(name: str, effect: str, clusters: int, aggregate: str = "mean") -> tuple[pd.DataFrame, float]:
    """Leaderboard of the simulations, each over so many trained models.

    The effect of a model shifts all of its samples by 0.4 standard deviations of a score, so that
    samples of one model are correlated.
    """
    r = np.random.default_rng([clusters, *map(ord, name + effect)])
    draw, truth = SCORES[name]
    scores = draw(r, (SIMULATIONS, clusters, SAMPLES))
    scores += 0.4 * scores.std() * EFFECTS[effect](r, (SIMULATIONS, clusters, 1))
    board = leaderboard(cells(scores, aggregate=aggregate), suite="s")
    assert (board["estimand"] == RETRAINED).all()
    return board, truth


@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("effect", ["none", "normal"])
@pytest.mark.parametrize("name", SCORES)
def test_intervals_for_retrained_models(name: str, effect: str, clusters: int) -> None:
    board, truth = clustered(name, effect, clusters)
    share = covered(board["ci_low"], board["ci_high"], truth, f"retrained models: {name}, effect {effect}, {clusters}")
    assert 0.93 <= share <= 0.97


@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("name", SCORES)
def test_intervals_for_retrained_models_that_differ_in_a_skewed_way(name: str, clusters: int) -> None:
    """No interval can know from three values that their distribution is skewed: this is where they fall short."""
    board, truth = clustered(name, "skewed", clusters)
    share = covered(board["ci_low"], board["ci_high"], truth, f"retrained models: {name}, effect skewed, {clusters}")
    assert 0.90 <= share <= 0.97


@pytest.mark.parametrize("clusters", CLUSTERS)
def test_intervals_for_retrained_models_of_medians(clusters: int) -> None:
    r = np.random.default_rng(clusters)
    log = r.standard_t(3, (SIMULATIONS, clusters, SAMPLES)) + r.normal(0, 0.4, (SIMULATIONS, clusters, 1))
    board = leaderboard(cells(10 ** log.clip(-11, 11), aggregate="median_log10"), suite="s")
    assert 0.93 <= covered(board["ci_low"], board["ci_high"], 0.0, f"retrained models: medians, {clusters}") <= 0.97


@pytest.mark.parametrize(
    ("name", "samples", "least"),
    [
        ("exponential", 5, 0.89), ("exponential", 10, 0.92), ("exponential", 30, 0.93), ("exponential", 100, 0.93),
        ("beta(1/2, 2)", 10, 0.93), ("beta(1/2, 2)", 30, 0.93), ("log-normal", 10, 0.87), ("log-normal", 30, 0.90),
        ("log-normal", 100, 0.92),
    ],
)  # fmt: skip
def test_intervals_over_samples_of_one_model(name: str, samples: int, least: float) -> None:
    """With few samples or heavy tails they fall short, by how much is printed."""
    r = np.random.default_rng(samples)
    draw, truth = SCORES[name]
    board = leaderboard(cells(draw(r, (SIMULATIONS, 1, samples))), suite="s")
    assert (board["estimand"] == CONDITIONAL).all()
    assert least <= covered(board["ci_low"], board["ci_high"], truth, f"this model: {name}, {samples} samples") <= 0.97


@pytest.mark.parametrize("samples", [6, 10, 30])
@pytest.mark.parametrize("tails", [2, 30])
def test_median_intervals_over_samples_of_one_model(samples: int, tails: int) -> None:
    r = np.random.default_rng([samples, tails])
    scores = 10 ** r.standard_t(tails, (SIMULATIONS, 1, samples)).clip(-11, 11)
    board = leaderboard(cells(scores, aggregate="median_log10"), suite="s")
    share = covered(board["ci_low"], board["ci_high"], 0.0, f"this model: median, {samples} samples, t{tails}")
    assert 0.93 <= share <= 0.97


def template(datasets: int, votes: int) -> pd.DataFrame:
    """A leaderboard of four explainers with some metrics on some data sets, values to be filled in."""
    rows = pd.concat(
        [
            cells(np.zeros((4, 1, 2))).assign(dataset=f"data{d:02}", metric=f"m{v}", control=False)
            for d in range(datasets)
            for v in range(votes)
        ],
        ignore_index=True,
    )
    return leaderboard(rows, suite="s").sort_values(["explainer", "dataset", "metric"], ignore_index=True)


@pytest.mark.parametrize("datasets", CLUSTERS)
def test_overall_intervals_for_new_problems(datasets: int) -> None:
    """The first of four explainers is best on most problems: its relative rank is skewed, and bounded by 0."""
    r, votes, simulations = np.random.default_rng(datasets), 4, 400
    lead = np.array([0.8, 0.3, 0.0, -0.3])

    def merits(n: int) -> np.ndarray:
        return lead[:, None, None] + r.normal(0, 0.5, (4, n, 1)) + r.normal(0, 0.5, (4, n, votes))

    many = merits(400_000)
    truth = float(((many > many[:1]).sum(axis=0) / 3).mean())
    board = template(datasets, votes)
    found = []
    for _ in range(simulations):
        row = overall(board.assign(value=merits(datasets).ravel())).iloc[0]
        assert row["estimand"] == NEW_PROBLEMS
        found.append((row["ci_low"], row["ci_high"]))
    low, high = np.array(found).T
    known = np.isfinite(low)
    print(f"new problems: {datasets} data sets, {known.mean():.3f} have an interval")
    share = covered(low[known], high[known], truth, f"new problems: {datasets} data sets")
    assert 0.91 <= share <= 0.98  # 400 simulations: within 0.022
