"""Size of the report of 100,000 synthetic cells, and seconds until a browser shows it.

``python tests/bench/bench_report.py`` needs playwright and a Chromium (``--chromium PATH``).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
from bench_leaderboard import make_cells
from playwright.sync_api import Page, sync_playwright

from xaibench.analysis.leaderboard.table import leaderboard
from xaibench.report.html.content import Content
from xaibench.report.html.page import make_report

# Two frames after the load event the first rows of the leaderboard have been painted.
PAINTED = (
    "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--keep", type=Path, help="Write the page here.")
    options = parser.parse_args()
    cells = make_cells(options.cells, 1, 1, ties=False).assign(error_kind=None)
    started = time.perf_counter()
    board = leaderboard(cells, suite="bench")
    made = time.perf_counter()
    report = make_report(Content("synthetic", board, cells, pd.DataFrame(), []))
    written = time.perf_counter()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{len(cells):,} cells, {len(board):,} rows: leaderboard {made - started:.1f} s, page {written - made:.1f} s")
    print(f"size {len(report.html.encode()) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = options.keep or Path(folder) / "report.html"
        path.write_text(report.html, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        seconds = []
        for _ in range(5):
            page = browser.new_page()
            page.goto(path.resolve().as_uri())
            seconds.append(page.evaluate(PAINTED) / 1000)
            sorting, filtering = _seconds(page, "click"), _seconds(page, "filter")
            page.close()
        print(f"opens in {statistics.median(seconds):.2f} s (median of 5, worst {max(seconds):.2f} s)")
        print(f"sorts in {sorting:.2f} s, filters in {filtering:.2f} s")
        browser.close()


def _seconds(page: Page, what: str) -> float:
    started = time.perf_counter()
    if what == "click":
        page.get_by_role("button", name="value").click()
    else:
        page.locator("#f-text").fill("explainer_07")
    page.evaluate(PAINTED)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
