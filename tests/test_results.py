"""Everything published under results/ was made by this code: schema, version, cells, keys' parts and boards."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers.same_board import different

import xaibench as xb
from xaibench import suite as suites
from xaibench.plan import expand
from xaibench.store import Store
from xaibench.store.schema import SCHEMA

RESULTS = Path(__file__).parents[1] / "results"
STORES = sorted(path.parent for path in RESULTS.glob("baselines/*/store.json"))
BOARDS = [store.parents[1] / store.name / "leaderboard.parquet" for store in STORES]
"""Boards whose rows are published too; `results/publish.py --check` says which others are older than the code."""
COSTS = ("explain_memory", "score_memory")
"""Columns that say what a machine spent, and whose absence makes no number of an older store doubtful."""
STALE = "is stale: run the suite again and publish it (results/README.md)"


def named(path: Path) -> str:
    return path.parent.name if path.name.endswith(".parquet") else path.name


def test_there_is_something_to_check() -> None:
    assert STORES
    assert BOARDS


@pytest.mark.parametrize("store", STORES, ids=named)
def test_a_baseline_holds_the_cells_that_its_suite_has_now(store: Path) -> None:
    """Ids hold names, parameters and versions of problem, explainer and metric: a raised version is another id."""
    (manifest,) = Store(store).manifests()
    now = {cell.cell_id for unit in expand(suites.load(manifest["suite"])) for cell in unit.cells}
    found = Store(store).read().to_pandas()
    assert set(Store(store).planned(manifest["run"]).to_pandas()["cell_id"]) == now, f"{store.name} {STALE}"
    assert set(found["cell_id"]) == now, f"{store.name} {STALE}"
    assert manifest["provenance"]["packages"]["xaibench"] == xb.__version__, f"{store.name} {STALE}"
    assert not manifest["provenance"]["git"]["dirty"], "published numbers come from a commit"


@pytest.mark.parametrize("store", STORES, ids=named)
def test_a_baseline_has_the_columns_of_today(store: Path) -> None:
    files = sorted(store.rglob("*.parquet"))
    assert files
    for file in files:
        found = pq.read_schema(file).names
        assert [name for name in SCHEMA.names if name in found or name not in COSTS] == found, f"{file.name} {STALE}"


@pytest.mark.parametrize("path", BOARDS, ids=named)
def test_a_board_is_what_its_baseline_gives_now(path: Path) -> None:
    """The statistics are deterministic: the same rows give the same board, ties and intervals included."""
    board = pd.read_parquet(path)
    assert different(board, xb.leaderboard(RESULTS / "baselines" / path.parent.name)) == [], (
        f"{path.parent.name} {STALE}"
    )


@pytest.mark.parametrize("path", BOARDS, ids=named)
def test_a_board_that_was_changed_is_noticed(path: Path) -> None:
    board = pd.read_parquet(path)
    row = int(np.flatnonzero(board["ci_low"].notna())[0])
    for column, value in (("ci_low", board["ci_low"][row] + 1e-3), ("value", np.nan), ("rank", 99.0)):
        changed = board.copy()
        changed.loc[row, column] = value
        assert different(changed, board)[0].startswith(column)
    assert different(board.drop(columns="rank_low"), board)


@pytest.mark.parametrize("readme", sorted(RESULTS.rglob("README.md")), ids=named)
def test_tables_name_the_commit_that_the_stores_do(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    for store in STORES:
        sha = Store(store).manifests()[0]["provenance"]["git"]["sha"]
        for line in re.findall(rf"^\| `{store.name}[`/].*$", text, re.MULTILINE):
            assert sha[:7] in line, f"{readme}: {line}"
