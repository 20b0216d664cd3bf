"""Series in the report: the line of every sensor, the map behind it, the truth below."""

from __future__ import annotations

import re

import numpy as np
import pytest

from xaibench.report.html.content import Gallery, Instance, Map
from xaibench.report.html.series import MOST_SENSORS, is_drawn_as_lines, series_figures, shown_sensors

RNG = np.random.default_rng(0)


def gallery_of(*shape: int, truth: bool = True, kind: str = "contribution") -> Gallery:
    maps = tuple(Map(f"explainer {k}", kind, RNG.normal(size=shape), 0.5) for k in range(2))
    mask = np.zeros(shape, bool)
    mask[2:4] = truth
    inputs = RNG.normal(size=shape)
    instance = Instance("a", 0, "drawn at random", inputs, mask if truth else None, "explained: up", maps)
    return Gallery("suite", "data/model", "series", (), "auprc", True, (instance,))


@pytest.mark.parametrize(("shape", "lines"), [((9,), 1), ((9, 3), 3), ((9, 12), MOST_SENSORS)])
def test_a_line_for_every_sensor_and_a_bar_for_the_truth(shape: tuple[int, ...], lines: int) -> None:
    gallery = gallery_of(*shape)
    assert is_drawn_as_lines(gallery)
    for figure in series_figures(gallery, gallery.instances[0]):
        assert figure.svg.count('class="line"') == figure.svg.count("<image") == lines
        assert figure.svg.count('class="truth"') == lines
        assert "nan" not in figure.svg
        assert (
            len(re.findall(r"[\d.]+,[\d.]+", str(figure.svg).partition('class="line"')[0].rpartition("points")[2])) == 9
        )
        assert ("4 more sensors not shown" in figure.below) == (lines == MOST_SENSORS)
        assert figure.below.startswith("score 0.5")


def test_the_truth_is_below_its_steps() -> None:
    gallery = gallery_of(10)
    svg = str(series_figures(gallery, gallery.instances[0])[0].svg)
    x, width = map(float, re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" [^>]*class="truth"', svg).groups())  # type: ignore[union-attr]
    assert (x - 34) / 33 == pytest.approx(2)
    assert width / 33 == pytest.approx(2)


def test_true_sensors_and_those_with_the_largest_mass_are_shown() -> None:
    values, truth = np.zeros((5, 20)), np.zeros((5, 20), bool)
    values[:, 3:10] = np.arange(7) + 1.0
    truth[1, 17] = True
    instance = Instance("a", 0, "", np.zeros((5, 20)), truth, "", (Map("m", "saliency", values, 0.1),))
    assert shown_sensors(instance) == [3, 4, 5, 6, 7, 8, 9, 17]


def test_words_name_the_strongest_steps() -> None:
    values = np.zeros((6, 2))
    values[4, 1] = -3.0
    values[2, 0] = 2.0
    instance = Instance("a", 0, "", np.ones((6, 2)), None, "", (Map("m", "contribution", values, np.nan),))
    gallery = Gallery("s", "p", "series", (), "", True, (instance,))
    figure = series_figures(gallery, instance)[0]
    assert figure.alt.startswith("m: largest at step 5 of sensor 2, step 3 of sensor 1")
    assert f'aria-label="{figure.alt}"' in figure.svg
    assert "<script" not in series_figures(gallery_of(4), gallery_of(4).instances[0])[0].svg


def test_constant_and_missing_values_are_drawn() -> None:
    inputs = np.ones((5, 2))
    inputs[2, 1] = np.nan
    values = np.full((5, 2), np.nan)
    instance = Instance("a", 0, "", inputs, None, "", (Map("<b>", "saliency", values, np.nan),))
    figure = series_figures(Gallery("s", "p", "series", (), "", True, (instance,)), instance)[0]
    assert figure.alt == "<b>: 0 everywhere"
    assert "<b>" not in figure.svg
    assert "nan" not in figure.svg


def test_one_step_is_no_line() -> None:
    assert not is_drawn_as_lines(gallery_of(1, 3))
