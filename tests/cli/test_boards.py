"""`xaibench leaderboard` in every form, over a synthetic board."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.results import concat, make_results

from xaibench.analysis.advice.verdicts import advise
from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.cli import boards
from xaibench.cli.boards import View, show_leaderboard
from xaibench.core.errors import NothingToDoError, StoreError, UsageError

FILTERS: dict[str, str | None] = {"dataset": None, "model": None, "explainer": None, "metric": None, "family": None}
Show = Callable[..., str]


def results() -> pd.DataFrame:
    r = np.random.default_rng(0)
    frames = []
    for dataset in ("digits", "faces"):
        for masker in ("mean", "zero"):
            scores: dict[str, Any] = {n: r.normal(3 - i, 1, 40) for i, n in enumerate(("good", "fair", "odd", "bad"))}
            scores |= {"random": r.normal(0, 1, 40), "cam": "unsupported"}
            frames.append(make_results(scores, dataset=dataset, params=f'{{"masker":"{masker}"}}'))
    frames.append(make_results(scores, dataset="faces", metric="sparseness", family="complexity"))
    return concat(*frames)


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return results()


@pytest.fixture(scope="module")
def board(cells: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([leaderboard(cells, suite=name) for name in ("one", "two")], ignore_index=True)


@pytest.fixture
def show(
    cells: pd.DataFrame, board: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Show:
    """Show the board of two suites; gives what was printed."""
    monkeypatch.setattr(boards, "write_leaderboard", lambda path: board)
    monkeypatch.setattr(boards, "results", lambda path, suite: cells)
    monkeypatch.setattr(boards, "advice_on", lambda path, board: advise(board))

    def run(form: str | None = None, output: Path | None = None, suite: str | None = "one", **view: Any) -> str:
        filters = FILTERS | {k: view.pop(k) for k in list(view) if k in FILTERS}
        show_leaderboard("store", View(suite, filters, **view), form=form, output=output)
        return capsys.readouterr().out

    return run


VIEWS: list[dict[str, Any]] = [
    {}, {"metric": "pixel_flipping"}, {"overall": "error"}, {"by": "dataset"}, {"by": "model"}, {"by": "family"},
    {"by": "masker"}, {"suite": None}, {"suite": None, "overall": "worst"}, {"family": "complexity"},
]  # fmt: skip


CASES = [(VIEWS[0], form) for form in ("table", "markdown", "csv", "html", "parquet")] + [
    (view, form) for i, view in enumerate(VIEWS) for form in ("json", ("table", "markdown", "html")[i % 3])
]


@pytest.mark.slow
@pytest.mark.parametrize(("view", "form"), CASES)
def test_every_view_in_every_form(show: Show, tmp_path: Path, view: dict[str, Any], form: str) -> None:
    if form == "parquet":
        show(output=tmp_path / "board.parquet", **view)
        frame = pd.read_parquet(tmp_path / "board.parquet")
    else:
        text = show(form, **view)
        assert "good" in text
        assert "Traceback" not in text
        if form not in ("csv", "json"):
            assert max(map(len, text.splitlines())) <= (120 if form == "table" else 10_000)
            return
        frame = pd.read_csv(io.StringIO(text)) if form == "csv" else pd.DataFrame(json.loads(text))
    assert {"suite", "explainer"} <= set(frame.columns)
    assert frame["suite"].nunique() == (2 if view.get("suite", "one") is None else 1)
    assert "value" in frame if view.get("overall") is None and "by" not in view else "relative_rank" in frame


@pytest.mark.slow
def test_the_file_says_the_format(show: Show, tmp_path: Path) -> None:
    for name, start in (("a.md", "## one"), ("a.csv", "suite,"), ("a.json", "["), ("a.html", "<!DOCTYPE html>")):
        assert show(output=tmp_path / name) == ""
        assert (tmp_path / name).read_text().startswith(start)
    with pytest.raises(UsageError, match="does not say which format"):
        show(output=tmp_path / "board.doc")
    show("csv", output=tmp_path / "board.doc")
    assert (tmp_path / "board.doc").read_text().startswith("suite,")
    with pytest.raises(UsageError, match="Parquet goes to a file"):
        show("parquet")


def test_markdown_is_for_people(show: Show) -> None:
    lines = show("markdown").splitlines()
    assert max(line.count("|") for line in lines) < 12
    assert len(lines) < 50


def test_mistakes_get_a_hint(show: Show) -> None:
    with pytest.raises(UsageError, match="--overall 'wurst'") as error:
        show(overall="wurst")
    assert "'worst'" in str(error.value.hint)
    with pytest.raises(UsageError, match="--by 'datasets'") as error:
        show(by="datasets")
    assert "'dataset'" in str(error.value.hint)
    with pytest.raises(UsageError, match="no family 'complex'"):
        show(family="complex")
    with pytest.raises(UsageError, match="--trust weighs"):
        show(trust=Path("x.parquet"))
    with pytest.raises(UsageError, match="no file"):
        show(trust=Path("none.parquet"), overall="error")
    with pytest.raises(NothingToDoError, match="removes features"):
        show(by="masker", family="complexity")


def test_trust_is_read_from_a_file(show: Show, tmp_path: Path) -> None:
    trust = pd.DataFrame(
        [("other", "pixel_flipping", f'{{"masker":"{m}"}}', w) for m, w in (("mean", 1.0), ("zero", 0.0))]
        + [("other", "sparseness", "{}", 0.5)],
        columns=["dataset", "metric", "params", "trust"],
    )
    trust.to_parquet(tmp_path / "audit.parquet")
    text = show(overall="error", trust=tmp_path / "audit.parquet")
    assert "votes: pixel_flipping by mean: pixel_flipping\n" in text


def test_a_metric_over_several_problems_says_why_there_is_no_critical_difference(show: Show) -> None:
    text = show(metric="pixel_flipping")
    assert "no critical difference over 2 data sets: it takes 10 independent problems" in text
    assert text.count("pixel_flipping(masker=mean) on") == 2
    assert "critical" not in show(metric="sparseness")


def test_a_critical_difference_over_ten_data_sets(
    show: Show, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    r = np.random.default_rng(1)
    frames = [
        make_results(
            {n: r.normal(-i, 0.5, 12) for i, n in enumerate("abc")} | {"random": np.zeros(12)}, dataset=f"d{k}"
        )
        for k in range(10)
    ]
    board = leaderboard(concat(*frames), suite="one")
    monkeypatch.setattr(boards, "write_leaderboard", lambda path: board)
    assert "over 10 data sets: critical difference 1.05 of mean ranks" in show(metric="pixel_flipping")


def test_a_store_that_cannot_be_written_is_read(
    show: Show, cells: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr(boards, "write_leaderboard", refuse)
    monkeypatch.setattr(boards, "leaderboard", lambda path, suite: leaderboard(cells, suite="read"))
    assert "## read" in show("markdown", suite=None)
