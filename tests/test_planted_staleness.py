"""Ten ways in which something under results/ can be older than the code, planted in a copy: each is noticed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from helpers.same_board import different

from xaibench.api.published import published, stale_reasons

BOARD = Path(__file__).parents[1] / "results" / "synthgauss"


def edited(pattern: str, text: str) -> Callable[[Path], None]:
    """A card in which the first match is another text."""

    def edit(folder: Path) -> None:
        card = folder / "card.toml"
        before = card.read_text(encoding="utf-8")
        after = re.sub(pattern, text, before, count=1, flags=re.MULTILINE)
        assert after != before, pattern
        card.write_text(after, encoding="utf-8")

    return edit


def board_without(column: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "leaderboard.parquet"
        pd.read_parquet(path).drop(columns=column).to_parquet(path)

    return edit


def renamed(folder: Path) -> None:
    folder.rename(folder.with_name("a_suite_that_went"))


PLANTED: dict[str, Callable[[Path], None]] = {
    "an older version": edited(r'^version = ".*"', 'version = "0.0.9"'),
    "no version": edited(r"^version = .*\n", ""),
    "other cells": edited(r'^cells = ".*"', 'cells = "0000000000000000"'),
    "no digest of cells": edited(r"^cells = .*\n", ""),
    "a claim that says something else": edited(r'"synthgauss.random-fa" = ".*"', '"synthgauss.random-fa" = "00"'),
    "a claim that went": edited(r'^"synthgauss.random-ra" = .*\n', ""),
    "a claim under another name": edited(r'^"synthgauss.random-ra"', '"synthgauss.random-rr"'),
    "a board without rank intervals": board_without("rank_low"),
    "a board without a later column": board_without("construct"),
    "a suite that went": renamed,
}


def test_what_is_of_today_is_not_stale() -> None:
    (one,) = (found for found in published() if found.name == BOARD.name)
    assert stale_reasons(one) == []


@pytest.mark.parametrize("fault", PLANTED)
def test_what_is_older_than_the_code_is_noticed(fault: str, tmp_path: Path) -> None:
    copy = tmp_path / BOARD.name
    shutil.copytree(BOARD, copy)
    PLANTED[fault](copy)
    (one,) = published(tmp_path)
    assert len(stale_reasons(one)) == 1


@pytest.mark.parametrize("column", ["value", "ci_low", "ci_high", "rank", "rank_high", "tie_group", "p_placebo", "n"])
def test_a_number_that_another_program_made_is_noticed(column: str) -> None:
    board = pd.read_parquet(BOARD / "leaderboard.parquet")
    row = int(board[column].notna().to_numpy().argmax())
    changed = board.copy()
    changed.loc[row, column] = "zz" if column == "tie_group" else board[column][row] + 1
    assert [found.split(":")[0] for found in different(board, changed)] == [column]
