"""What a stranger sees: the first lines and the last ones of a run, the board, the lists."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.command_line import Call
from helpers.printed import text_of

from xaibench.cli.next_steps import next_steps
from xaibench.report.component_lists import by_family, grouped_list

METRICS = pd.DataFrame(
    {
        "name": ["steady", "pixel_flipping", "deletion"], "family": ["robustness", "faithfulness", "faithfulness"],
        "summary": ["How steady.", "Area under a curve. " * 9, "Another."],
    }
)  # fmt: skip
EXPLAINERS = pd.DataFrame(
    {
        "name": ["random", "gradient"],
        "kind": ["slope", "slope"],
        "control": ["yes", ""],
        "summary": ["Noise.", "Slopes."],
    }
)


def test_names_stand_in_their_family_and_fit() -> None:
    groups = by_family("metrics", METRICS)
    assert list(groups) == ["faithfulness", "robustness"]
    assert [name for name, _ in groups["faithfulness"]] == ["pixel_flipping", "deletion"]
    short, long = (text_of(grouped_list(groups, described=d), 60) for d in (False, True))
    assert "faithfulness (2): pixel_flipping, deletion" in short
    assert len(short.splitlines()) == 2
    assert sum(bool(line.strip()) for line in long.splitlines()) == 5
    assert max(map(len, (short + long).splitlines())) <= 60
    assert "..." in long
    assert list(by_family("explainers", EXPLAINERS)) == ["slopes: derivatives of the output", "controls"]


def test_next_steps_name_a_metric_that_ranks_and_fit_the_width() -> None:
    board = pd.DataFrame({"metric": ["m0", "m1"], "rank": [float("nan"), 1.0]})
    wide, narrow = next_steps("a store", board, width=120), next_steps("a store", board, width=60)
    assert "leaderboard 'a store' --metric m1  " in wide
    assert wide.startswith("next: xaibench report 'a store' -o report.html  ")
    assert all(line == line.rstrip() and len(line) <= 60 for line in narrow.splitlines())
    assert "--metric" not in next_steps("s", board[:1])


@pytest.mark.slow
def test_a_run_begins_with_what_it_does_and_ends_with_what_to_do(call: Call, tmp_path: Path) -> None:
    suite, store = tmp_path / "small.toml", tmp_path / "store"
    suite.write_text(
        'explainers = ["gradient", "saliency"]\nmetrics = ["pixel_flipping"]\nsamples = 8\n'
        '[[problems]]\ndataset = "digits"\nmodels = ["softmax_regression"]\n'
    )
    code, out, err = call("run", suite, "--store", store, "-j", 0)
    assert code == 0
    assert (
        err.splitlines()[0]
        == "suite small: 2 explainers and 6 controls, 1 metric, 1 problem (digits/softmax_regression)"
    )
    assert err.splitlines()[1].endswith(f"results go to {store}")
    assert out.startswith("Explainers are tested against placebos")
    assert out.splitlines()[-3].startswith(f"next: xaibench report {store}")
    assert "placebo:" not in out  # the legend is asked for
    _, first, _ = call("leaderboard", store)
    assert "relevance" not in first
    assert "next: " in first
    _, wide, _ = call("leaderboard", store, "--wide", "--legend")
    assert "every metric: values" in wide
    assert "-- controls --" in wide
    assert "placebo: a control that cannot explain" in wide


@pytest.mark.slow
def test_lists_are_short_and_long_ones_are_tables(call: Call) -> None:
    every = call("list")[1]
    assert len(every.splitlines()) < 150
    assert "faithfulness (" in every
    short, long = call("list", "metrics")[1], call("list", "metrics", "--long")[1]
    assert "pixel_flipping" in short
    assert "needs" not in short.splitlines()[0]
    assert {"family", "better", "needs"} <= set(long.splitlines()[0].split())
