"""Tables as Markdown and HTML: read back by parsers, hostile names stay text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
from helpers.results import concat, make_results

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.report.board_tables import tables_of_board, tables_of_metric
from xaibench.report.tables import TitledTable, html, tables_markdown

HOSTILE = "<script>alert(1)</script>"
TABLE = TitledTable(
    f"a title {HOSTILE}", ("name", "value"), [(HOSTILE, "1"), ("a|b", "2"), ("line\nbreak", "")], notes=("n",)
)


class Reader(HTMLParser):
    """Cells, headings and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.rows: list[list[str]] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        self.inside = tag in ("td", "th")
        if self.inside:
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.inside:
            self.rows[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


def test_html_is_one_page_without_scripts_and_keeps_every_text() -> None:
    text = html([TABLE], HOSTILE)
    page = Reader(text)
    assert page.rows == [["name", "value"], [HOSTILE, "1"], ["a|b", "2"], ["line\nbreak", ""]]
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert ("td", {"class": "text"}) in page.tags


def test_markdown_has_as_many_cells_in_every_row_and_no_tags() -> None:
    lines = tables_markdown([TABLE]).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {3}
    assert table[1] == "| --- | ---: |"
    assert lines[0].startswith("## a title ")
    assert "- n" in lines
    assert not any("<" in line.replace("\\<", "") for line in lines)


def board(**more: Any) -> Any:
    r = np.random.default_rng(0)
    scores = {"good": r.normal(3, 1, 40), "bad": r.normal(-3, 1, 40), HOSTILE: r.normal(0, 1, 40)}
    scores |= {"random": r.normal(0, 1, 40), "constant": r.normal(0, 1, 40)}
    frames = [make_results(scores, metric=m, **more) for m in ("pixel_flipping", "deletion")]
    return leaderboard(concat(*frames, make_results(scores, metric="sparseness", family="complexity")), suite="s")


def test_a_board_is_a_sheet_per_family_and_a_legend() -> None:
    tables = tables_of_board(board())
    assert [s.title for s in tables] == ["s: explainers", "s: faithfulness", "s: complexity", ""]
    assert tables[1].heads[:3] == ("explainer", "tests won", "tests lost")
    rows = {row[0].split(" ")[0]: row for row in tables[1].rows}
    assert rows["good"][1:3] == ("2/2", "")
    assert rows["bad"][1:3] == ("0/2", "2")
    assert rows["bad"][3].endswith("x #3")
    assert all(len(row) == len(tables[1].heads) for row in tables[1].rows)
    assert any("x worse than one" in note for note in tables[-1].notes)
    assert len(tables_markdown(tables).splitlines()) < 60


def test_a_metric_is_a_sheet_per_problem_with_ranks_that_cannot_be_excluded() -> None:
    (table,) = tables_of_metric(board(), "deletion")
    place = {head: i for i, head in enumerate(table.heads)}
    rows = {row[place["explainer"]]: row for row in table.rows}
    assert [rows[name][place["ranks"]] for name in ("good", HOSTILE, "bad")] == ["1", "2", "3"]
    assert [rows[name][place["ties"]] for name in ("good", HOSTILE, "bad")] == ["a", "b", "c"]
    assert [rows[name][place["beats placebos"]] for name in ("good", HOSTILE, "bad")] == ["yes", "not shown", "LOSES"]
    assert rows["random"][place["ranks"]] == "control"
    assert any("LOSES: worse than one" in note for note in table.notes)


def test_a_board_without_anything_to_compare_says_so() -> None:
    failed = [{"name": "accuracy", "value": 0.5, "threshold": 0.9, "at_least": True}]
    tables = tables_of_board(leaderboard(make_results({"a": np.arange(9.0)}, gates=failed), suite="s"))
    assert tables[-1].title == "s: nothing to compare"
