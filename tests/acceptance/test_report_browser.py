"""The report in a browser: sorting, filtering, keyboard, colours, phones, no errors, no requests.

Needs playwright and a Chromium: that of ``XAIBENCH_CHROMIUM``, or one on the path.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers.report_content import EXPLAINERS, HOSTILE, make_content

from xaibench.report.html.page import make_report

api = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("XAIBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@dataclass
class Opened:
    """A page with what it said and asked for."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def rows(self, column: str) -> list[str]:
        """Texts of a column of the leaderboard, as far as it is in the document."""
        heads = self.page.locator("#board-table thead th").all_inner_texts()
        k = [h.strip() for h in heads].index(column) + 1
        return [t.strip() for t in self.page.locator(f"#board-table tbody tr > :nth-child({k})").all_inner_texts()]

    def head(self, column: str) -> Any:
        return self.page.locator("#board-table thead th", has=self.page.get_by_role("button", name=column, exact=True))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(make_report(make_content()).html, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def load(browser: Any, path: Path) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def load(**options: Any) -> Opened:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(5000)
        opened = Opened(context.new_page())
        opened.page.on("console", lambda message: opened.said.append(message.text))
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.goto(path.as_uri())
        return opened

    yield load
    for context in contexts:
        context.close()


def test_no_errors_no_requests_and_no_hostile_script(load: Callable[..., Opened], path: Path) -> None:
    opened = load()
    for details in opened.page.locator("details").all():
        details.evaluate("d => { d.open = true; }")
    opened.page.wait_for_timeout(300)
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [path.as_uri()]
    assert opened.page.get_by_text(HOSTILE).count() > 3


def test_the_policy_is_in_force(load: Callable[..., Opened]) -> None:
    opened = load()
    opened.page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        " document.body.append(s);"
        " const i = new Image(); i.src = 'https://example.invalid/x.png'; document.body.append(i); }"
    )
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate("window.broken") is None
    assert any("Content Security Policy" in text for text in opened.said)


def test_sorting_by_click_up_down_and_back(load: Callable[..., Opened]) -> None:
    opened = load()
    before = opened.rows("value")
    button = opened.page.get_by_role("button", name="value", exact=True)
    button.click()
    up = [float(v) for v in opened.rows("value")]
    assert up == sorted(up)
    assert opened.head("value").get_attribute("aria-sort") == "ascending"
    assert opened.page.locator("th[aria-sort]").count() == 1
    button.click()
    down = [float(v) for v in opened.rows("value")]
    assert down == sorted(down, reverse=True)
    assert opened.head("value").get_attribute("aria-sort") == "descending"
    button.click()
    assert opened.rows("value") == before
    assert opened.page.locator("th[aria-sort]").count() == 0


def test_sorting_texts_and_missing_values_last(load: Callable[..., Opened]) -> None:
    opened = load()
    opened.page.get_by_role("button", name="explainer", exact=True).click()
    names = opened.rows("explainer")
    assert names == sorted(names)
    opened.page.locator("#f-metric").select_option("relevance_rank")
    for _ in range(2):
        opened.page.get_by_role("button", name="rank", exact=True).click()
        ranks = opened.rows("rank")
        assert ranks[0]
        assert "" not in ranks[: len([r for r in ranks if r])]


def test_filters_narrow_and_clear(load: Callable[..., Opened]) -> None:
    opened = load()
    page, total = opened.page, opened.page.locator("#board-count").inner_text()
    page.locator("#f-text").fill("GOOD_expl data_03")
    assert set(opened.rows("explainer")) == {"good_explainer"}
    assert set(opened.rows("problem")) == {"data_03/cnn"}
    page.locator("#f-text").fill("nothing like this")
    assert opened.rows("explainer") == []
    assert "No row" in page.locator("#board-count").inner_text()
    page.get_by_role("button", name="Clear").click()
    page.wait_for_timeout(50)
    assert page.locator("#board-count").inner_text() == total
    page.locator("#f-family").select_option("ground truth")
    page.locator("#f-dataset").select_option("data_00")
    page.locator("#f-controls").uncheck()
    assert sorted(opened.rows("explainer")) == sorted(EXPLAINERS)
    assert set(opened.rows("metric")) == {"relevance_rank\u00a0↑"}


def test_ties_are_shown_as_ties(load: Callable[..., Opened]) -> None:
    opened = load()
    opened.page.locator("#f-dataset").select_option("data_00")
    opened.page.locator("#f-metric").select_option("relevance_rank")
    shown = dict(zip(opened.rows("explainer"), zip(opened.rows("rank"), opened.rows("ties"), strict=True), strict=True))
    assert shown["fair_explainer"] == shown["twin_of_fair"]
    assert "–" in shown["fair_explainer"][0]


def test_pages_turn(load: Callable[..., Opened]) -> None:
    opened = load()
    first = opened.rows("problem")
    assert len(first) == 50
    back, forward = (opened.page.get_by_role("button", name=f"{name} page") for name in ("Previous", "Next"))
    assert back.is_disabled()
    forward.click()
    assert opened.rows("problem") != first
    assert "Rows 51" in opened.page.locator("#board-count").inner_text()
    back.click()
    assert opened.rows("problem") == first


def test_everything_can_be_done_by_keyboard(load: Callable[..., Opened]) -> None:
    opened = load()
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        active = page.evaluate("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)")
        reached.add(active)
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or active == "", active
        if active == "value":
            page.keyboard.press("Enter")
            break
    assert {"f-text", "f-metric", "f-controls", "explainer", "value"} <= reached
    assert opened.head("value").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert opened.head("value").get_attribute("aria-sort") == "descending"
    # Sorting keeps the focus where it is.
    assert page.evaluate("document.activeElement.textContent") == "value"


def _luminance(colour: str) -> float:
    parts = [float(p) / 255 for p in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(load: Callable[..., Opened], scheme: str) -> None:
    opened = load(color_scheme=scheme)
    paper = _luminance(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (paper > 0.8) == (scheme == "light")
    for selector, least in (
        ("h1", 7), ("main p", 7), (".note", 4.5), ("td", 7), (".bad", 4.5), ("nav a", 4.5), (".verdict", 4.5),
        ("#board-table .no", 4.5), ("#board-table .yes", 4.5), (".plot svg text", 4.5),
    ):  # fmt: skip
        element = opened.page.locator(selector).first
        style = "fill" if "svg" in selector else "color"
        ink = _luminance(element.evaluate(f"e => getComputedStyle(e).{style}"))
        contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert contrast >= least, (selector, contrast)


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_screens_do_not_scroll_sideways(load: Callable[..., Opened], width: int) -> None:
    opened = load(viewport={"width": width, "height": 740})
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    wide = opened.page.evaluate(
        """(width) => [...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, pre, .skip")
             && e.getBoundingClientRect().right > width + 1).map((e) => e.tagName + "." + e.className)"""
    , width)  # fmt: skip
    assert wide == []


def test_paper_shows_what_is_folded_and_no_controls(load: Callable[..., Opened]) -> None:
    opened = load()
    opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    opened.page.emulate_media(media="print")
    assert opened.page.locator("details:not([open])").count() == 0
    assert not opened.page.locator("#filters").is_visible()
    assert not opened.page.locator("nav").is_visible()


def test_without_scripts_the_page_says_where_the_numbers_are(load: Callable[..., Opened]) -> None:
    opened = load(java_script_enabled=False)
    assert opened.page.get_by_text("leaderboard.csv").is_visible()
    assert opened.page.locator(".tier").count() > 1
