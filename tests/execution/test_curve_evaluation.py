"""Which curves can be evaluated again, and what that should take; reports of real runs test the curves themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xaibench.execution.curve_evaluation import curve_measure, curve_seconds
from xaibench.execution.reconstruction import board_rows_of

CELLS = pd.DataFrame(
    [("deletion", "{}", "", "ok", 9.0), ("pixel_flipping", '{"n":1}', "logit", "failed", np.nan),
     ("pixel_flipping", '{"n":2}', "logit", "ok", 1.5), ("pixel_flipping", '{"n":2}', "logit", "undefined", 0.5),
     ("pixel_flipping", '{"n":2}', "logit", "ok", np.nan), ("pixel_flipping", '{"n":2}', "", "ok", 4.0)],
    columns=["metric", "params", "asked_output", "status", "score_seconds"],
)  # fmt: skip


def test_the_first_removal_metric_with_scores_is_drawn() -> None:
    assert curve_measure(CELLS) == ("pixel_flipping", '{"n":2}', "logit")
    assert curve_measure(CELLS[:2]) == ("deletion", "{}", "")
    assert curve_measure(CELLS[1:2]) is None


def test_seconds_are_those_of_scoring() -> None:
    assert len(board_rows_of(CELLS, ("pixel_flipping", '{"n":2}', "logit"))) == 3
    assert curve_seconds(CELLS) == pytest.approx(2.0)
    assert curve_seconds(CELLS[1:2]) == 0.0
