"""Colours of maps and figures: signs, scales, what is not finite, and files."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers.report_content import HOSTILE, make_content
from PIL import Image

from xaibench.report.html.figures import draw_removal_curves, short, svg
from xaibench.report.html.page import make_report
from xaibench.report.html.pictures import heat, map_picture, pictures, truth_picture


def test_signed_maps_are_white_at_zero_red_above_and_blue_below_on_one_scale() -> None:
    rgb, scale = heat(np.array([[-2.0, -1.0, 0.0, 1.0, 4.0]]), "contribution")
    assert scale == "±4.0"
    red, blue = rgb[0, :, 0].astype(int), rgb[0, :, 2].astype(int)
    assert (rgb[0, 2] > 240).all()
    assert (blue[:2] > red[:2]).all()
    assert (red[3:] > blue[3:]).all()
    mirrored, _ = heat(-np.array([[-2.0, -1.0, 0.0, 1.0, 4.0]]), "contribution")
    # As far from 0 on either side, as dark: the scale is symmetric.
    assert abs(int(mirrored[0, 4].max()) - int(rgb[0, 4].max())) < 20


def test_unsigned_maps_start_at_zero_and_keep_signs_that_they_should_not_have() -> None:
    rgb, scale = heat(np.array([[0.0, 1.0, 3.0]]), "saliency")
    assert scale == "0 to 3.0"
    assert (np.diff(rgb[0].astype(int).sum(axis=1)) < 0).all()
    _, scale = heat(np.array([[0.0, -1.0, 3.0]]), "saliency")
    assert scale == "±3.0"


def test_what_is_not_finite_is_grey_and_said_so() -> None:
    rgb, scale = heat(np.array([[np.nan, 1.0, np.inf]]), "slope")
    assert len({tuple(p) for p in rgb[0, [0, 2]]}) == 1
    assert len(set(rgb[0, 0].tolist())) == 1
    assert "not finite" in scale
    assert scale.startswith("±1.0")


@pytest.mark.slow
def test_pictures_decode_to_the_colours_they_were_made_of() -> None:
    gallery = make_content(2).galleries[0]
    (instance,) = gallery.instances
    for picture in pictures(gallery, instance):
        raw = base64.b64decode(picture.uri.partition(",")[2])
        decoded = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))
        assert np.array_equal(decoded, picture.rgb)


def test_texts_say_the_score_and_where_the_largest_number_is() -> None:
    gallery = make_content(2).galleries[0]
    (instance,) = gallery.instances
    found = instance.maps[0]
    row, column = np.unravel_index(int(np.abs(found.values).argmax()), found.values.shape)
    assert f"row, column {row + 1}, {column + 1}" in map_picture(found, "image").alt
    truth = truth_picture(instance, "image")
    assert truth is not None
    assert "3 of 64" in truth.alt


@pytest.mark.slow
def test_svg_is_xml_with_its_text_and_without_styles() -> None:
    (curves,) = make_content(2).curves
    text = svg(draw_removal_curves(curves), "f1")
    root = ElementTree.fromstring(text)
    assert not [e for e in root.iter() if "style" in e.attrib or e.tag.endswith(("style", "metadata"))]
    words = {(e.text or "").strip() for e in root.iter() if e.tag.endswith("text")}
    assert {HOSTILE, "good_explainer"} <= words
    assert all(e.attrib["id"].startswith("f1-") for e in root.iter() if "id" in e.attrib)


@pytest.mark.slow
def test_numbers_in_figures_keep_their_digits() -> None:
    content = make_content(2)
    html = make_report(content).html
    assert "±" in html
    scales = {p.below for g in content.galleries for i in g.instances for p in pictures(g, i)}
    shown = [s for s in scales if "±" in s and "<" not in s]
    assert shown
    assert all(part in html for s in shown for part in s.split("; "))


@pytest.mark.slow
def test_every_figure_is_written_as_png_svg_and_pdf(tmp_path: Path) -> None:
    report = make_report(make_content(2))
    report.save_figures(folder=tmp_path / "figures", pdf=tmp_path / "figures.pdf")
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert len(names) == 2 * len(report.figures)
    assert all(p.parent == tmp_path / "figures" for p in (tmp_path / "figures").rglob("*.svg"))
    for path in (tmp_path / "figures").glob("*.png"):
        with Image.open(path) as image:
            assert image.size[0] > 100
    assert (tmp_path / "figures.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["x" * 500, "a\nb\u2028c"])
def test_names_in_figures_are_one_short_line(name: str) -> None:
    assert len(short(name)) <= 28
    assert "\n" not in short(name)


def test_words_of_a_text_are_tinted_and_signed_and_escaped() -> None:
    from xaibench.report.html.content import Gallery, Instance, Map
    from xaibench.report.html.feature_tables import word_rows

    words = ("a", "<b>fine</b>", "dull", "film")
    maps = (Map("signed", "contribution", np.array([0.0, 4.0, -2.0, 0.1, 9.0]), 1.0),)
    truth = np.array([False, True, True, False, False])
    found = Instance("id", 3, "drawn", np.zeros(5), truth, "explained: good", maps, words)
    gallery = Gallery("suite", "data/model", "tokens", (), "auprc", True, (found,))
    rows = word_rows(gallery, found)
    assert [r.title for r in rows] == ["truth", "signed"]
    # What is behind the end of the text has no word and no part in the scale.
    assert rows[1].words == [("p0", "a"), ("p8", "<b>fine</b>"), ("m4", "dull"), ("p0", "film")]
    assert rows[0].words == [("out", "a"), ("in", "<b>fine</b>"), ("in", "dull"), ("out", "film")]


def test_the_page_shows_texts_in_words() -> None:
    from dataclasses import replace

    from helpers.report_content import make_content

    from xaibench.report.html.page import make_report

    content = make_content(2)
    table = content.galleries[1]
    instance = table.instances[0]
    n = instance.maps[0].values.size
    words = ("<i>first</i>", *(f"word{k}" for k in range(1, n)))
    text = replace(table, features="tokens", feature_names=(), instances=(replace(instance, words=words),))
    html = make_report(replace(content, galleries=(text,))).html
    assert "&lt;i&gt;first&lt;/i&gt;</span>" in html
    assert "<i>first" not in html
    assert 'class="text" dir="auto"' in html
