"""Tables of suite pages state the verdicts and intervals of the published boards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
VERDICTS = re.compile(r"reproduced|refuted|inconclusive")
INTERVAL = re.compile(r"\[(-?[\d.]+), (-?[\d.]+)\]")
OTHER_PAGE = {"label_sampling": "scorers"}
"""Suites on the page of another; the rest are on that with the longest name that theirs begins with."""


def page_of(suite: str) -> Path | None:
    pages = {page.stem: page for page in (ROOT / "docs/suites").glob("*.md")}
    name = OTHER_PAGE.get(suite, suite)
    return pages.get(max((stem for stem in pages if name.startswith(stem)), key=len, default=""))


def published() -> dict[Path, pd.DataFrame]:
    """Claims by page, where every suite that the page has claims of is published."""
    pages: dict[Path, list[pd.DataFrame]] = {}
    for path in sorted((ROOT / "results").glob("*/claims.parquet")):
        claims = pd.read_parquet(path)
        if len(claims) and (page := page_of(path.parent.name)):
            pages.setdefault(page, []).append(claims)
    return {page: pd.concat(found) for page, found in pages.items() if page.stem in set(pd.concat(found)["suite"])}


def stated(page: str) -> Iterator[tuple[str, str, str]]:
    """Verdict and interval of every table row that has both; the last verdict goes with all further intervals.

    Columns whose heading says "not published" are of other seeds than the board.
    """
    kept: list[bool] = []
    for line in page.splitlines():
        if not line.startswith("|"):
            kept = []
            continue
        cells = line.strip("|").split("|")
        kept = kept or ["not published" not in cell for cell in cells]
        text = "|".join(cell for i, cell in enumerate(cells) if i >= len(kept) or kept[i])
        verdicts, found = VERDICTS.findall(text), INTERVAL.findall(text)
        if verdicts:
            for i, (low, high) in enumerate(found):
                yield verdicts[min(i, len(verdicts) - 1)], low, high


def contradictions(page: str, claims: pd.DataFrame) -> list[tuple[str, str, str]]:
    """What a page states of no claim: shifted by a threshold and with the other sign intervals are the same."""
    wrong = []
    for verdict, low, high in stated(page):
        step = 10.0 ** -min(len(number.partition(".")[2]) for number in (low, high))
        own = claims[claims["verdict"] == verdict]
        width = (own["ci_high"] - own["ci_low"] - (float(high) - float(low))).abs()
        if not (width <= 1.02 * step).any():
            wrong.append((verdict, low, high))
    return wrong


@pytest.mark.parametrize(("page", "claims"), [pytest.param(p, c, id=p.stem) for p, c in published().items()])
def test_verdicts_and_intervals_are_those_of_the_board(page: Path, claims: pd.DataFrame) -> None:
    assert contradictions(page.read_text(encoding="utf-8"), claims) == []


def test_another_verdict_and_another_interval_are_noticed() -> None:
    claims = pd.read_parquet(ROOT / "results/cam_layers/claims.parquet")
    page = (ROOT / "docs/suites/cam_layers.md").read_text(encoding="utf-8")
    assert len(list(stated(page))) == 4
    assert contradictions(page.replace("inconclusive | .193", "reproduced | .193"), claims) == [
        ("reproduced", ".147", ".238")
    ]
    assert contradictions(page.replace("[.609, .649]", "[.609, .699]"), claims) == [("reproduced", ".609", ".699")]
