"""Picture of a report for the README: the top of the page, as a browser shows it.

Needs playwright and a Chromium: that of ``XAIBENCH_CHROMIUM``, or one on the path. ``nox -s screenshot -- STORE``
makes the report and the picture.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

WIDTH, HEIGHT = 1400, 1180


def screenshot(report: Path, picture: Path) -> None:
    """Write the first ``HEIGHT`` pixels of a report as PNG."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("XAIBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.screenshot(path=str(picture))
        browser.close()


if __name__ == "__main__":
    screenshot(Path(sys.argv[1]), Path(sys.argv[2]))
