"""The regression gate on synthetic score tables whose truth is known: power, and false alarms."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from helpers.gate_tables import Matrix, fresh_draws, retrained_models, two_sided

from xaibench.analysis.regressions.verdicts import RegressionSettings, compare_runs

N, N_ENTRIES, N_SEEDS = 200, 1000, 5
"""Samples, entries with equal weights, and trainings of the others."""
REPLICATES = 1000
DELTA = 0.02
SETTINGS = RegressionSettings(bounds={"score": (0.0, 1.0)}, deltas={"score": DELTA})
NO_DELTA = RegressionSettings(bounds={}, deltas={f"m{i}": 0.0 for i in range(12)})
"""The hardest case for false alarms: whatever is significant counts."""
TAILS = ("normal", "t3", "skewed", "discrete")


def _verdicts(found: pd.DataFrame) -> pd.Series[str]:
    scores = found[found["measure"] == "score"]
    return scores.set_index("explainer")["verdict"]


@pytest.mark.parametrize("tails", TAILS)
def test_power_against_twice_the_practical_delta(tails: str) -> None:
    """True effect of twice the delta and .4 SD of the paired difference, n = 200, among 1,000 changed entries."""
    matrix = Matrix.flat(N_ENTRIES, N)
    hit = np.arange(N_ENTRIES) < 100
    rng = np.random.default_rng(7)
    found = []
    for _ in range(10):
        old = rng.uniform(0.3, 0.7, (N_ENTRIES, N))
        change = 5 * DELTA * two_sided(rng, (N_ENTRIES, N), tails)
        new = old + change - 2 * DELTA * hit[:, None]
        verdicts = _verdicts(compare_runs(matrix.frame(old), matrix.frame(new), SETTINGS))
        found.append((verdicts.reindex(matrix.names) == "regressed").to_numpy())
    power, false = np.mean([f[hit] for f in found]), np.mean([f[~hit] for f in found])
    print(f"{tails}: power {power:.3f}, false regressions {false:.6f} per entry")
    assert power >= 0.9


def test_thousands_of_cells_take_seconds() -> None:
    matrix = Matrix.flat(5000, N)
    rng = np.random.default_rng(0)
    old = rng.random((5000, N))
    left, right = matrix.frame(old), matrix.frame(old + rng.normal(0, 0.1, old.shape))
    started = time.perf_counter()
    compare_runs(left, right, SETTINGS)
    print(f"5,000 cells of {N} samples: {time.perf_counter() - started:.1f} s")


@pytest.mark.parametrize("tails", TAILS)
def test_false_alarms_of_a_whole_nightly_matrix(tails: str) -> None:
    """Correlated cells, retrained models and fresh draws, nothing changed: alarms in at most 5 % + 2 SE."""
    matrix = Matrix.nightly(N_SEEDS)
    rng = np.random.default_rng(11)
    alarms = np.zeros(2, dtype=np.int64)
    for _ in range(REPLICATES):
        halves = fresh_draws(rng, matrix, tails), retrained_models(rng, matrix, tails)
        old, new = (np.concatenate(sides) for sides in zip(*halves, strict=True))
        found = compare_runs(matrix.frame(old), matrix.frame(new), NO_DELTA)
        found = found[found["verdict"].isin(("regressed", "moved"))]
        alarms += [len(found) > 0, (found["effect"].abs() > DELTA).any()]
    limit = 0.05 + 2 * np.sqrt(0.05 * 0.95 / REPLICATES)
    for name, count in zip(("whatever is significant", f"delta {DELTA}"), alarms, strict=True):
        print(f"{tails}, {name}: {count} of {REPLICATES} comparisons raise an alarm (at most {limit:.1%})")
    assert alarms[0] / REPLICATES <= limit
