"""Tables of published results as HTML: small ones as rows, boards as values that a script draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import pandas as pd

from xaibench.api.published import Published
from xaibench.report.html.rows import as_json

HIDDEN = "---\nsearch:\n  exclude: true\nhide:\n  - toc\n  - navigation\n---\n\n"
"""Front matter of pages that hold tables only, which would crowd the search."""


def slug(name: str) -> str:
    """A name of a component as the name of a page: ``captum:LRP`` becomes ``captum-LRP``."""
    return "".join(c if c.isalnum() or c in "_-." else "-" for c in name)


def link(text: object, where: str) -> str:
    """A link within HTML."""
    return f'<a href="{escape(where, quote=True)}">{escape(str(text))}</a>'


class Html(str):
    """Text of a cell that is HTML already."""


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1, label: str = "") -> str:
    """A table that can be sorted; the first ``left`` columns hold words, the others numbers.

    A cell is `Html`, or text, which is escaped.
    """
    head = "".join(f'<th scope="col"{_side(i, left)}>{escape(h)}</th>' for i, h in enumerate(heads))
    body = "\n".join("<tr>" + "".join(_cell(i, cell, left) for i, cell in enumerate(row)) + "</tr>" for row in rows)
    return (
        f'<div class="xb-scroll" tabindex="0" role="group" aria-label="{escape(label or heads[0], quote=True)}">'
        f'<table class="xb-sortable"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )


def _side(column: int, left: int) -> str:
    return "" if column < left else ' class="num"'


def _cell(column: int, content: object, left: int) -> str:
    text = content if isinstance(content, Html) else escape(str(content))
    return f"<td{_side(column, left)}>{text}</td>"


def drawn_table(heads: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]], *, label: str) -> str:
    """A large table that the page's script draws, a part at a time, with a field that filters it.

    Parameters
    ----------
    heads : sequence of (str, str)
        Name of each column, and its kind: ``word``, ``number``, ``interval`` (two numbers) or ``choice`` (a word that a
        list of choices filters).
    rows : sequence
        Plain values; None where there is nothing.
    label : str
    """
    content = {"heads": [h for h, _ in heads], "kinds": [k for _, k in heads], "rows": rows}
    return (
        f'<div class="xb-drawn" data-label="{escape(label, quote=True)}">'
        f'<p class="xb-noscript">This table of {len(rows):,} rows needs scripts. It is in '
        "<code>leaderboard.parquet</code>, too.</p>"
        f'<script type="application/json">{as_json(content)}</script></div>'
    )


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is."""
    for mark in ("\\", "`", "*", "_", "[", "]", "|"):
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def plain(value: Any, digits: int = 4) -> Any:
    """A value for `drawn_table`: numbers with some digits, None where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def frame_of(results: Sequence[Published], name: str) -> pd.DataFrame:
    """One of the tables of all published results, below each other, with the column ``suite``."""
    frames = [found.assign(suite=one.name) for one in results if (found := one.table(name)) is not None and len(found)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
