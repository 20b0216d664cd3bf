"""Names and numbers."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from xaibench.report.labels import interval, metric_labels, number, p_value, share, variants


def test_variants_are_told_apart_by_what_differs() -> None:
    a, b, c = '{"baseline":"zero","steps":8}', '{"baseline":"zero","steps":32}', "{}"
    assert variants([("ig", a), ("ig", b), ("lime", c), ("ig", a)]) == {
        ("ig", a): "ig(steps=8)",
        ("ig", b): "ig(steps=32)",
        ("lime", c): "lime",
    }


def test_an_output_asked_for_is_one_more_parameter() -> None:
    keys = [
        ("flip", '{"steps":8}', ""),
        ("flip", '{"steps":9}', "logit"),
        ("flip", '{"steps":9}', ""),
        ("rank", "", ""),
    ]
    board = pd.DataFrame(keys, columns=["metric", "params", "asked_output"])
    assert list(metric_labels(board).items()) == list(
        zip(keys, ["flip(steps=8)", "flip(output=logit, steps=9)", "flip(steps=9)", "rank"], strict=True)
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00"), (0.01234, "0.0123"), (1234.5, "1234"), (-3.14159, "-3.14"), (2.5e-7, "2.50e-07"), (math.nan, "")],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_share_takes_three_characters() -> None:
    assert [share(x) for x in (0, 0.004, 0.5, 0.996, 1)] == [".00", ".00", ".50", "1.0", "1.0"]


def test_interval_and_p_value() -> None:
    assert interval(0.1, 0.25) == "[0.100, 0.250]"
    assert interval(math.nan, 1) == ""
    assert [p_value(p) for p in (1e-9, 0.0123, 0.9999, 1.0, math.nan)] == ["<.001", ".012", "1", "1", ""]
