"""`xaibench claims --all`: every claim of the shipped suites, on the screen and in files."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.command_line import Call
from helpers.printed import text_of

from xaibench.analysis.claims.claims_index import INDEX_COLUMNS, NOT_RUN
from xaibench.report.tables import TitledTable, terminal


def test_claims_of_a_suite_are_listed_without_a_store(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("claims", tmp_path, "--all", "--suite", "ripple", "--json")
    rows = json.loads(out)
    assert code == 0
    assert set(rows[0]) == set(INDEX_COLUMNS)
    assert {row["verdict"] for row in rows} == {NOT_RUN}
    assert {row["would_change"] for row in rows} == {"xaibench run ripple"}
    assert any("Dombrowski et al. 2019" in (row["papers"] or "") for row in rows)
    code, out, _ = call("claims", tmp_path, "--all", "--suite", "ripple")
    assert (code, f"{len(rows)} claims" in out) == (0, True)


@pytest.mark.parametrize("suffix", [".md", ".csv", ".json", ".html", ".parquet"])
def test_claims_are_written_in_the_format_that_the_name_says(call: Call, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"claims{suffix}"
    assert call("claims", tmp_path, "--all", "--suite", "ripple", "-o", file)[0] == 0
    if suffix == ".parquet":
        assert list(pd.read_parquet(file).columns) == list(INDEX_COLUMNS)
    else:
        assert "Dombrowski et al. 2019" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--all", "--suite", "ripples"), "unknown suite 'ripples'"),
        (("--all", "-o", "claims.txt"), "does not say which format"),
        (("--all", "--strict"), "--all goes with neither --strict nor --history"),
        (("nowhere", "--all"), "there is no folder nowhere"),
        (("-o", "claims.csv"), "--output goes with --all"),
    ],
)
def test_mistakes_are_one_sentence(call: Call, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = call("claims", *arguments)
    assert (code, said in err) == (2, True)
    assert "Traceback" not in err


def test_a_suite_without_claims_says_so(call: Call, tmp_path: Path) -> None:
    code, _, err = call("claims", tmp_path, "--all", "--suite", "quick")
    assert (code, "makes no claims" in err) == (4, True)


@pytest.mark.parametrize(("width", "n_tables"), [(27, 2), (34, 2), (35, 1), (80, 1)])
def test_a_table_is_split_before_a_name_is_folded(width: int, n_tables: int) -> None:
    table = TitledTable("", ("claim", "verdict", "n", "m"), [("a-name-of-a-claim", "alright", "1", "2")])
    lines = text_of(terminal([table]), width).splitlines()
    assert sum("a-name-of-a-claim" in line for line in lines) == n_tables
    assert max(map(len, lines)) <= width
