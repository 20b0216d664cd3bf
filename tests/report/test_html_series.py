"""Series in the report: the line of every sensor, the map behind it, the truth below."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xaibench.report.html.content import Gallery, Instance, Map
from xaibench.report.html.series import MOST_SENSORS, are_pictures, is_drawn_as_lines, series_figures
from xaibench.report.html.series_pictures import outline

RNG = np.random.default_rng(0)


def gallery_of(*shape: int, truth: bool = True, kind: str = "contribution") -> Gallery:
    maps = tuple(Map(f"explainer {k}", kind, RNG.normal(size=shape), 0.5) for k in range(2))
    mask = np.zeros(shape, bool)
    mask[2:4] = truth
    inputs = RNG.normal(size=shape)
    instance = Instance("a", 0, "drawn at random", inputs, mask if truth else None, "explained: up", maps)
    return Gallery("suite", "data/model", "series", (), "auprc", True, (instance,))


@pytest.mark.parametrize(("shape", "lines"), [((9,), 1), ((9, 3), 3), ((9, MOST_SENSORS), MOST_SENSORS)])
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
        assert figure.below.startswith("score 0.5")


def test_the_truth_is_below_its_steps() -> None:
    gallery = gallery_of(10)
    svg = str(series_figures(gallery, gallery.instances[0])[0].svg)
    x, width = map(float, re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" [^>]*class="truth"', svg).groups())  # type: ignore[union-attr]
    assert (x - 34) / 33 == pytest.approx(2)
    assert width / 33 == pytest.approx(2)


def pixels(svg: object) -> np.ndarray[Any, Any]:
    found = re.search(r'href="data:image/png;base64,([^"]+)"', str(svg))
    assert found is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB"))


def test_many_sensors_are_a_picture_of_sensors_by_steps_with_the_truth_outlined() -> None:
    values, truth = np.zeros((5, 20)), np.zeros((5, 20), bool)
    values[1, 17] = 3.0
    truth[1:3, 17] = True
    instance = Instance("a", 0, "", np.arange(100.0).reshape(5, 20), truth, "", (Map("m", "saliency", values, 0.1),))
    gallery = Gallery("s", "p", "series", (), "auprc", True, (instance,))
    assert are_pictures(instance)
    series, found = series_figures(gallery, instance)
    assert (series.title, found.title) == ("input", "m")
    picture = pixels(found.svg)
    assert picture.shape == (20, 5, 3)
    dark = np.argwhere(picture.sum(axis=2) < 3 * 255 - 300)
    assert dark.tolist() == [[17, 1]]
    # Every sensor of the input rises from its least number to its largest.
    assert pixels(series.svg)[:, :, 0].tolist() == [[0, 64, 128, 191, 255]] * 20
    row = 216 / 20
    left, top = 1 * 330 / 5, 17 * row
    assert f"M{left:g} {top:g}h{2 * 330 / 5:g}" in found.svg
    assert f"M{left:g} {top:g}v{row:g}" in found.svg
    assert found.svg.count("<path") == series.svg.count("<path") == 2
    assert "polyline" not in found.svg


def test_the_outline_is_as_long_as_the_border_of_the_truth() -> None:
    truth = RNG.random((12, 9)) < 0.4
    padded = np.pad(truth, 1)
    border = (padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum()
    assert sum(float(x) for x in re.findall(r"[hv]([\d.]+)", outline(truth, 1, 1))) == border
    assert outline(np.zeros((3, 2), bool), 1, 1) == ""


def test_a_dashed_line_says_what_a_masker_puts_there_and_shares_the_scale() -> None:
    inputs, filled = np.zeros((6, 1)), np.zeros((6, 1))
    inputs[3], filled[2] = 1.0, 3.0
    found = Map("m", "contribution", np.ones((6, 1)), np.nan)
    instance = Instance("a", 0, "", inputs, None, "", (found,), filled=filled)
    svg = str(series_figures(Gallery("s", "p", "series", (), "", True, (instance,)), instance)[0].svg)
    heights = {
        name: [float(pair.split(",")[1]) for pair in points.split()]
        for points, name in re.findall(r'points="([^"]+)" class="(\w+)"', svg)
    }
    assert set(heights) == {"halo", "line", "filled"}
    bottom, top = heights["line"][0], heights["filled"][2]
    assert heights["line"][3] == pytest.approx(bottom - (bottom - top) / 3, abs=0.1)
    assert ">3.0<" in svg


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
