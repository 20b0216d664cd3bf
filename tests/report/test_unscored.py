"""Why an explainer has no score is said once per reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
from helpers.results import concat, make_results
from rich.text import Text

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.report.unscored import unscored_list

NEEDS = {"cam": "explainer cam needs image"}


def board() -> pd.DataFrame:
    scores = {"cam": "unsupported", "good": np.ones(40), "random": np.zeros(40)}
    frames = [
        make_results(scores, dataset=d, metric=m, messages=NEEDS)
        for d in ("compas", "adult")
        for m in ("deletion", "insertion")
    ]
    failed = make_results({**scores, "cam": "failed"}, dataset="digits", metric="deletion", messages={"cam": "broken"})
    return leaderboard(concat(*frames, failed), suite="s")


def lines(rows: pd.DataFrame) -> list[str]:
    found = unscored_list(rows)
    return [] if found is None else str(found).splitlines() if isinstance(found, Text) else ["?"]


def test_every_reason_stands_once_with_what_it_is_about() -> None:
    found = board()
    assert lines(found[found["explainer"] == "cam"]) == [
        "Without a score: 5 of 5",
        "  deletion, insertion on adult/cnn, compas/cnn: unsupported: explainer cam needs image",
        "  deletion on digits/cnn: failed: broken",
    ]


def test_nothing_is_said_of_an_explainer_with_all_scores() -> None:
    found = board()
    assert lines(found[found["explainer"] == "good"]) == []


def test_a_reason_of_several_lines_is_one_line() -> None:
    failed = {"cam": "failed", "good": np.ones(4), "random": np.zeros(4)}
    found = leaderboard(make_results(failed, messages={"cam": "no kernel:\n  size 3\n\n  of 2"}), suite="s")
    assert lines(found[found["explainer"] == "cam"])[1:] == [
        "  pixel_flipping on digits/cnn: failed: no kernel: size 3 of 2"
    ]
