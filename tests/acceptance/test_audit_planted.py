"""The audit on its own suite, through the command line, with planted metrics that are broken in known ways.

They rank last, each with the right diagnosis, and no sound metric is called broken.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
PLANTED = {
    "always_constant": "constant",
    "blind": "ignores the explanation",
    "batch_coupled": "batch-coupled",
    "batch_ranked": "batch-coupled",
    "sign_flipped": "sign-flipped",
}


def shell(*arguments: object) -> str:
    command = [sys.executable, "-m", "xaibench", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped suite with the planted metrics among its own."""
    folder = tmp_path_factory.mktemp("planted")
    shipped = (ROOT / "suites" / "audit.toml").read_text()
    names = "".join(f'  "{name}",\n' for name in PLANTED)
    suite = folder / "planted.toml"
    suite.write_text(shipped.replace("metrics = [\n", f"metrics = [\n{names}", 1))
    plugin = ROOT / "tests" / "plugins" / "planted_metrics.py"
    shell("run", suite, "--plugin", plugin, "--store", folder / "store", "--quiet")
    return folder / "store"


@pytest.fixture(scope="module")
def audit(store: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shell("audit", store, "--json"))["metrics"]
    return found


def test_planted_metrics_rank_last_with_the_right_diagnosis(audit: list[dict[str, Any]]) -> None:
    problems = list(dict.fromkeys((row["dataset"], row["model"]) for row in audit))
    assert len(problems) == 3
    for problem in problems:
        rows = [row for row in audit if (row["dataset"], row["model"]) == problem]
        last = rows[-len(PLANTED) :]
        assert {row["metric"]: row["diagnosis"].partition(":")[0] for row in last} == PLANTED
        assert {row["verdict"] for row in last} == {"broken"}
        assert {row["trust"] for row in last} == {0}


def test_no_sound_metric_is_called_broken(audit: list[dict[str, Any]]) -> None:
    sound = [row for row in audit if row["metric"] not in PLANTED]
    assert len(sound) > 100
    assert not [row for row in sound if row["verdict"] == "broken"]
    assert sum(row["verdict"] == "trusted" for row in sound) > len(sound) / 2
    assert not any(row["coupled"] for row in sound), "no score of ours changes with its company"


def test_the_table_is_kept_and_reads_back(store: Path, audit: list[dict[str, Any]]) -> None:
    kept = pd.read_parquet(store / "audit.parquet")
    assert list(kept["metric"]) == [row["metric"] for row in audit]
    assert kept["trust"].dropna().between(0, 1).all()
    assert (pd.read_parquet(store / "audit_pairs.parquet")["tau"].dropna().abs() <= 1).all()


def test_a_flipped_sign_disagrees_with_its_own_metric(store: Path) -> None:
    """Not quite -1: a metric without a masker of its own has slopes multiplied by the input, not less the mean."""
    pairs = pd.read_parquet(store / "audit_pairs.parquet")
    flipped = pairs[(pairs["metric"] == "sign_flipped") & (pairs["other_metric"] == "comprehensiveness")]
    by_mean = flipped[flipped["other_params"].str.contains('"mean"')]
    assert len(by_mean) == 3
    assert (by_mean["tau"] < -0.5).all()
