"""The mark of metrics and explainers that remove single cells from their neighbours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import xaibench as xb
from xaibench.report.html.rows import board_columns
from xaibench.report.html.summary import summarise
from xaibench.report.overview import legend, overview
from xaibench.report.single_cells import mark_sentence, marked, single_cell_masker
from xaibench.report.standings import first_screen
from xaibench.report.terminal import metric_table


@pytest.mark.parametrize("masker", ["interpolate", "carry_forward", "window_mean"])
@pytest.mark.parametrize(
    ("params", "alone"),
    [
        ({"group": "cells"}, True), ({"group": "steps"}, True), ({"group": "segments", "patch": 1}, True),
        ({"patch": 1}, True), ({"group": None, "patch": None}, False), ({"group": "segments"}, False),
        ({"group": "segments", "patch": 4}, False), ({"group": "sensors"}, False), ({}, False),
    ],
)  # fmt: skip
def test_single_cells_and_steps_are_marked_under_maskers_that_give_them_back(
    masker: str, params: dict[str, object], alone: bool
) -> None:
    text = json.dumps({**params, "masker": masker})
    assert single_cell_masker(text) == (masker if alone else None)
    assert marked("name", text) == ("name~" if alone else "name")
    for other in ("zero", "mean", "segment_marginal"):
        assert single_cell_masker(json.dumps({**params, "masker": other})) is None


def test_a_sentence_names_the_maskers_once() -> None:
    cells = [json.dumps({"group": "cells", "masker": m}) for m in ("interpolate", "carry_forward", "interpolate")]
    assert "removed by carry_forward, interpolate, filled" in str(mark_sentence(cells))
    assert mark_sentence(["", "{}", json.dumps({"group": "segments", "masker": "interpolate"})]) is None


@pytest.fixture(scope="module")
def board() -> object:
    x = np.random.default_rng(0).normal(size=(4, 12)).cumsum(1).astype(np.float32)
    problem = xb.Problem(
        lambda a: np.stack([a[:, 3], -a[:, 3]], 1), x, targets=np.zeros(4, int), features="series", returns="logit"
    )
    table = problem.evaluate(
        explainers=[("occlusion", {"patch": p, "masker": "interpolate"}) for p in (1, 3)],
        metrics=[("deletion", {"masker": "interpolate", "group": g}) for g in ("cells", "segments")],
        controls=True,
    )
    return xb.leaderboard(table)


def test_boards_mark_columns_and_rows_and_say_what_it_means(board: object) -> None:
    view = overview(board)  # type: ignore[arg-type]
    assert sorted(x.name for x in view.explainers) == ["occlusion(patch=1)~", "occlusion(patch=3)"]
    assert sorted(" ".join(c.header) for c in view.columns) == [
        "deletion (group=cells)~ lower", "deletion (group=segments) lower",
    ]  # fmt: skip
    assert any(line.startswith("~ behind a name") and "interpolate" in line for line in legend(view))
    page = summarise(board)  # type: ignore[arg-type]
    assert [c.label.endswith("~") for c in page.measures] == ["group=cells" in c.label for c in page.measures]
    assert page.any_partly is False
    columns = board_columns(board)  # type: ignore[arg-type]
    assert set(columns["metric"]["values"]) == {"deletion(group=cells)~", "deletion(group=segments)"}
    assert {"occlusion(patch=1)~", "occlusion(patch=3)"} < set(columns["explainer"]["values"])


def test_the_first_screen_and_the_table_of_a_metric_explain_the_mark(board: object, tmp_path: Path) -> None:
    for shown in (first_screen(board), metric_table(board, "deletion")):  # type: ignore[arg-type]
        with (tmp_path / "out").open("w") as file:
            Console(file=file, width=200).print(shown)
        text = (tmp_path / "out").read_text()
        assert "occlusion(patch=1)~" in text
        assert "~ behind a name" in text
