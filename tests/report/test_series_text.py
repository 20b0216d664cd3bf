"""A series in the terminal."""

from __future__ import annotations

import numpy as np

from xaibench.report.series_text import SHADE_CHARACTERS, series_lines, shade_row


def test_shades_grow_with_the_magnitude_and_stand_at_their_step() -> None:
    assert shade_row(np.array([0.0, 0.25, 0.5, 0.75, 1.0]), 5, 1.0) == SHADE_CHARACTERS
    assert shade_row(np.array([0.0, 1.0]), 6, 1.0) == "   ███"
    assert shade_row(np.zeros(4), 4, 0.0) == "    "


def test_the_curve_its_shades_and_the_truth_are_below_each_other() -> None:
    inputs, values, truth = np.zeros(60), np.zeros(60), np.zeros(60, bool)
    inputs[30:] = 1.0
    values[45:] = -2.0
    truth[15:30] = True
    lines = series_lines(inputs, values, truth)
    assert len(lines) == 5 + 4
    shades, bar = lines[-2], lines[-1]
    start = lines[0].index("|") + 1
    assert shades[start + 44 : start + 46] == " █"
    assert bar.strip() == "=" * 15
    assert abs(bar.index("=") - start - 15) <= 1


def test_the_strongest_three_of_many_sensors_are_drawn_in_their_order() -> None:
    values = np.tile(np.array([5.0, 0, 3, 1, 4]), (8, 1))
    lines = series_lines(np.random.default_rng(0).normal(size=(8, 5)), values)
    assert [line for line in lines if line.startswith("sensor")] == [f"sensor {k} of 5" for k in (1, 3, 5)]


def test_one_step_and_missing_values_are_drawn() -> None:
    assert series_lines(np.array([[1.0, np.nan]]), np.full((1, 2), np.nan))
