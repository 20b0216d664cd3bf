"""The page: nothing breaks out of it, nothing comes from elsewhere, and it says what the frames say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.report_content import CLOSING, HOSTILE, make_cells, make_content

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.report.html.content import Content
from xaibench.report.html.page import Report, make_report
from xaibench.report.html.rows import as_json, board_columns
from xaibench.report.html.tables import rank_panels

VOID = {"meta", "link", "img", "input", "br", "wbr"}


class Reader(HTMLParser):
    """Elements with their attributes, the text of each kind, and whether every element is closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1] == tag, f"{tag} closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report(make_content(10))


@pytest.fixture(scope="module")
def page(report: Report) -> Reader:
    return read(report.html)


def board_of(page: Reader) -> dict[str, Any]:
    texts = [t for t in page.text["script"] if t.startswith('{"rows"')]
    assert len(texts) == 1
    found: dict[str, Any] = json.loads(texts[0])
    return found


@pytest.mark.slow
def test_hostile_names_add_no_element_and_no_attribute(page: Reader) -> None:
    assert [attrs.get("type") for attrs in page.all("script")] == ["application/json", None]
    known = {"data-filter", "data-rows"}
    assert not [a for _, attrs in page.elements for a in attrs if a.startswith("data-") and a not in known]
    assert not [a for _, attrs in page.elements for a in attrs if a.startswith("on")]
    assert all((attrs["src"] or "").startswith("data:image/png;base64,") for attrs in page.all("img"))


@pytest.mark.slow
def test_hostile_names_are_shown_as_they_are(page: Reader) -> None:
    shown = "".join(text for tag, parts in page.text.items() if tag not in ("script", "style") for text in parts)
    assert HOSTILE in shown
    assert CLOSING in shown
    assert HOSTILE in board_of(page)["explainer"]["values"]
    assert any(CLOSING in note for note in board_of(page)["note"]["values"])


def test_the_policy_allows_this_script_and_this_style_and_nothing_else(report: Report, page: Reader) -> None:
    (policy,) = [a["content"] or "" for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == ["'none'"]
    assert rules["img-src"] == ["data:"]
    (style,) = re.findall(r"<style>(.*?)</style>", report.html, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", report.html, re.DOTALL)
    for name, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[name] == [f"'sha256-{digest}'"]


def test_nothing_comes_from_elsewhere(report: Report, page: Reader) -> None:
    for _, attrs in page.elements:
        # A style attribute would be refused by the policy.
        assert "style" not in attrs
        for name in ("src", "href", "xlink:href", "action", "data", "poster"):
            target = attrs.get(name) or ""
            assert not target or target.startswith(("#", "data:")), (name, target)
    css = "".join(page.text["style"])
    assert "url(" not in css
    assert "@import" not in css


def test_ids_are_unique_and_every_reference_has_its_target(report: Report, page: Reader) -> None:
    ids = [attrs["id"] for _, attrs in page.elements if attrs.get("id")]
    assert len(ids) == len(set(ids))
    wanted = {h[1:] for _, a in page.elements for h in (a.get("href"), a.get("xlink:href")) if h and h.startswith("#")}
    wanted |= {a[k] for _, a in page.elements for k in ("aria-labelledby", "aria-describedby") if a.get(k)}
    wanted |= set(re.findall(r'"url\(#([^)]*)\)"', report.html))
    assert wanted <= set(ids)


def test_figures_and_pictures_have_a_text_beside_them(page: Reader) -> None:
    assert all(attrs.get("alt") for attrs in page.all("img"))
    plots = [attrs for attrs in page.all("div") if (attrs.get("class") or "").startswith("plot")]
    assert plots
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in plots)


@pytest.mark.slow
def test_the_inlined_board_is_the_leaderboard(page: Reader) -> None:
    board = leaderboard(make_cells(10), suite="suite")
    found = board_of(page)
    assert found["rows"] == len(board)
    name = [found["explainer"]["values"][k] for k in found["explainer"]["codes"]]
    metric = [found["metric"]["values"][k] for k in found["metric"]["codes"]]
    dataset = [found["dataset"]["values"][k] for k in found["dataset"]["codes"]]
    rows = board.set_index(["explainer", "metric", "dataset"])
    for i, key in enumerate(zip(name, metric, dataset, strict=True)):
        row = rows.loc[key]
        for short, column in (("value", "value"), ("low", "ci_low"), ("high", "ci_high"), ("rank_low", "rank_low")):
            expected = row[column]
            got = found[short][i]
            assert (got is None) == bool(np.isnan(expected))
            assert got is None or got == pytest.approx(expected, rel=5e-4)
        assert (found["group"]["values"][found["group"]["codes"][i]] if found["group"]["codes"][i] >= 0 else None) == (
            row["tie_group"] if isinstance(row["tie_group"], str) else None
        )
        assert found["n"][i] == row["n"]
        beats = {True: 1, False: 0}.get(row["beats_placebo"]) if not pd.isna(row["beats_placebo"]) else None
        assert found["beats"][i] == (-2 if row["loses_to_placebo"] is True else beats)


def test_rows_of_a_field_stand_by_rank_interval_and_ties_stay_ties() -> None:
    board = leaderboard(make_cells(2), suite="suite")
    found = board_columns(board)
    field = list(zip(found["metric"]["codes"], found["problem"]["codes"], strict=True))
    assert all(a == b or b not in field[:i] for i, (a, b) in enumerate(pairwise(field), 1))
    names = [found["explainer"]["values"][k] for k in found["explainer"]["codes"]]
    by_name: dict[Any, dict[str, tuple[Any, ...]]] = {}
    for i, (where, name) in enumerate(zip(field, names, strict=True)):
        by_name.setdefault(where, {})[name] = (found["rank_low"][i], found["rank_high"][i], found["group"]["codes"][i])
    for ranks in by_name.values():
        if "twin_of_fair" in ranks:
            assert ranks["twin_of_fair"] == ranks["fair_explainer"]


def test_problems_that_differ_in_their_target_have_panels_of_their_own() -> None:
    """One data set and model with two targets: neither takes the other's place on the page."""
    board = leaderboard(make_cells(2), suite="suite")
    told = {
        "test[:4] label:a default train[:8]": "(label:a)",
        "test[:4] contrast:a-b default train[:8]": "(contrast:a-b)",
    }
    both = pd.concat([board.assign(selection=selection) for selection in told], ignore_index=True)
    for alone, panels in zip(rank_panels(board), rank_panels(both), strict=True):
        assert len(panels.panels) + panels.n_more == 2 * (len(alone.panels) + alone.n_more)
        assert {name.split(" ")[-1] for name in panels.panels} <= set(told.values())
    assert set(board_columns(both)["problem"]["values"]) == {
        f"{name} {target}" for name in board_columns(board)["problem"]["values"] for target in told.values()
    }


@pytest.mark.slow
def test_boards_from_before_rank_intervals_have_a_page() -> None:
    content = make_content(2, examples=False)
    old = content.board.drop(columns=["rank_low", "rank_high", "tie_group", "loses_to_placebo"])
    html = make_report(Content(content.store, old, content.cells, content.claims.head(0), [])).html
    page = read(html)
    assert board_of(page)["rank_low"] is None
    assert "no rank intervals" in html


@pytest.mark.slow
@pytest.mark.parametrize(("n", "there"), [(10, True), (4, False)])
def test_critical_differences_only_over_enough_problems(n: int, there: bool) -> None:
    made = make_report(make_content(n, examples=False))
    assert any(name.startswith("critical difference") for name in made.figures) == there
    assert ("it takes 10 independent problems" in made.html) != there


def test_json_for_a_script_element_is_json_and_cannot_end_it() -> None:
    value = {"a": [CLOSING, HOSTILE, "<!--", "\u2028\u2029&", None, 1.5]}
    text = as_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


@pytest.mark.slow
def test_equal_content_gives_an_equal_page() -> None:
    assert make_report(make_content(1)).html == make_report(make_content(1)).html
