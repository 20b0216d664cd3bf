"""Claims on real stores are not reproduced when there is nothing to reproduce.

The sides of every claim are swapped at random within each independent unit: what is left has no
effect. The share of swapped claims that are called reproduced must stay below the level of the test.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import xaibench as xb
from xaibench import suite as suites
from xaibench.analysis.claims.verdicts import Operand, UndecidedError, compare_operands, comparisons
from xaibench.analysis.statistics.levels import ONE_SIDED_ALPHA

REPLICATES = 1000
SUITES = ("leakage", "impossibility", "synthgauss")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("claims") / "store"
    for name in SUITES:
        xb.run(name, store=folder)
    return folder


def swapped(
    left: Operand, right: Operand | None, number: float | None, rng: np.random.Generator
) -> tuple[Operand, Operand | None]:
    """Both sides with labels exchanged in a random half of the units; around the number, where that is one side."""
    if right is None:
        assert number is not None
        signs = 1 - 2 * rng.integers(2, size=len(left.values))
        return replace(left, values=number + signs * (left.values - number)), None
    both = pd.concat([left.values, right.values], axis=1, keys=["left", "right"]).dropna()
    swap = rng.integers(2, size=len(both)).astype(bool)
    values = both["left"].where(~swap, both["right"]), both["right"].where(~swap, both["left"])
    return replace(left, values=values[0]), replace(right, values=values[1])


@pytest.mark.parametrize("name", SUITES)
def test_swapped_claims_are_reproduced_at_most_at_the_level(
    store: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fewer flips than for a verdict: a coarser p of the same level, in a tenth of the time.
    monkeypatch.setattr("xaibench.analysis.statistics.evidence.N_FLIPS", 999)
    results = xb.results(store, name)
    untested = []
    for claim in suites.load(name).claims:
        if claim.direction == "equal":
            continue
        plain = claim.model_copy(update={"margin": 0.0})
        try:
            sides = comparisons(results, plain)
        except UndecidedError as reason:
            untested.append((claim.id, str(reason)))
            continue
        left, right = sides[0]
        if right is not None and not left.values.index.isin(right.values.index).any():
            untested.append((claim.id, "no pairs to swap"))
            continue
        rng = np.random.default_rng(len(claim.id))
        found = sum(
            compare_operands(plain, *swapped(left, right, plain.number, rng))["verdict"] == "reproduced"
            for _ in range(REPLICATES)
        )
        assert found <= binom.ppf(0.999, REPLICATES, ONE_SIDED_ALPHA), claim.id
    assert not untested
