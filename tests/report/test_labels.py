"""Names and numbers."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from xaibench.report.labels import (
    interval,
    metric_labels,
    number,
    p_value,
    problem_label,
    problem_labels,
    share,
    target_in_words,
    variants,
)


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


@pytest.mark.parametrize(
    ("selection", "target"),
    [
        ("test[:24] contrast:cat-dog default train[:64]", "contrast:cat-dog"),
        ("test[:24] label:new york margin train[:64] returns logit", "label:new york"),
        ("test[:24] runner_up default train[:0]", "runner_up"),
        ("inputs[:8] given foils default background[:4]", "given foils"),
        ("test[:24] predicted default train[:64]", ""),
        ("inputs[:8] given default background[:4]", ""),
        ("functions[:3] budget 8", ""),
        (None, ""),
    ],
)
def test_a_target_that_is_not_the_prediction_is_told(selection: str | None, target: str) -> None:
    assert target_in_words(selection) == target
    assert problem_label("d", "m", selection) == ("d/m" + (f" ({target})" if target else ""))


def test_problems_that_differ_in_what_is_explained_have_different_labels() -> None:
    told = [f"test[:4] {target} default train[:8]" for target in ("predicted", "label:a", "contrast:a-b", "runner_up")]
    frame = pd.DataFrame({"dataset": "d", "model": "m", "selection": told})
    assert problem_labels(frame) == ["d/m", "d/m (label:a)", "d/m (contrast:a-b)", "d/m (runner_up)"]
    assert problem_labels(frame.drop(columns="selection")) == ["d/m"] * 4
