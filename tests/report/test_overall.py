"""The overall mean as tables: blocks that may be compared, in order of rank."""

from __future__ import annotations

import numpy as np
from analysis.synthetic import concat, make_results
from report.test_terminal import text_of

from xaibench.analysis.leaderboard import leaderboard
from xaibench.analysis.overall import overall
from xaibench.report.overall import overall_table


def test_blocks_name_their_problems_and_follow_the_rank() -> None:
    low, mid, high = np.zeros(9), np.ones(9), np.full(9, 2.0)
    frames = [
        make_results({"a": low, "b": high, "c": mid}, dataset="one"),
        make_results({"a": low, "b": high, "c": "unsupported"}, dataset="two"),
        make_results({"a": high, "b": low}, metric="rank", family="ground_truth", truth_kind="planted"),
    ]
    lines = text_of(overall_table(overall(leaderboard(concat(*frames), suite="s"))), 120).splitlines()
    titles = [i for i, line in enumerate(lines) if ":" in line and "explainers, " in line]
    assert [lines[i] for i in titles] == [
        "faithfulness: 2 explainers, 1 metric on 2 problems (one/cnn, two/cnn)",
        "faithfulness: 3 explainers, 1 metric on 1 problem (one/cnn)",
        "ground truth (planted): 2 explainers, 1 metric on 1 problem (digits/cnn)",
    ]
    assert lines[titles[0] + 1].split() == ["family", "truth", "kind", "explainer", "relative", "rank", "problems",
                                            "metrics"]  # fmt: skip
    rows = [line.split() for line in lines[titles[1] + 3 : titles[1] + 6]]
    assert rows == [["faithfulness", n, r, "1", "1"] for n, r in (("b", "0.00"), ("c", "0.500"), ("a", "1.00"))]
    assert lines[titles[2] + 3].split()[:4] == ["ground", "truth", "planted", "a"]
    assert "relative rank: " in " ".join(lines)


def test_parameters_are_shown_only_to_tell_variants_apart_and_no_empty_column() -> None:
    frame = make_results({"a": np.zeros(9), "b": np.ones(9)})
    frame["explainer_params"] = '{"n_samples":9}'
    other = frame[frame["explainer"] == "a"].assign(explainer_params='{"n_samples":5}', cell_id="x")
    text = text_of(overall_table(overall(leaderboard(concat(frame, other), suite="s"))), 120)
    assert {"a(n_samples=9)", "a(n_samples=5)", "b"} <= set(text.split())
    assert "truth kind" not in text
