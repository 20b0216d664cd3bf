"""Tables in three forms: terminal, Markdown, and a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from xaibench.report.layout import COLUMN_GAP, Trimmed, simple_table


@dataclass(frozen=True)
class TitledTable:
    """A table with a title above and notes below.

    Attributes
    ----------
    title : str
    heads : tuple of str
    rows : list of tuple of str
    left : frozenset of int
        Columns of text, which are left-justified; the others hold numbers.
    notes : tuple of str
    """

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left: frozenset[int] = frozenset({0})
    notes: tuple[str, ...] = ()


def terminal(tables: Sequence[TitledTable]) -> RenderableType:
    """Tables one below the other, in the width that is there."""
    parts: list[RenderableType] = []
    for table in tables:
        if table.title:
            parts.append(Text(table.title, style="bold"))
        if table.rows:
            parts.append(_Split(table))
        parts += [*map(Text, table.notes), Text("")]
    return Trimmed(Group(*parts))


@dataclass(frozen=True)
class _Split:
    """A table in as many parts as the width asks for, each with the first column."""

    content: TitledTable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        content = self.content
        widths = [max(map(len, column)) + COLUMN_GAP for column in zip(content.heads, *content.rows, strict=True)]
        chunks: list[list[int]] = [[]]
        for i in range(1, len(widths)):
            if chunks[-1] and sum(widths[j] for j in (0, *chunks[-1], i)) - COLUMN_GAP > options.max_width:
                chunks.append([])
            chunks[-1].append(i)
        for number, chunk in enumerate(chunks):
            if number:
                yield Text("")
            shown = [0, *chunk]
            table = simple_table(
                [content.heads[i] for i in shown], [j for j, i in enumerate(shown) if i in content.left]
            )
            for row in content.rows:
                table.add_row(*(Text(row[i]) for i in shown))
            yield table


def tables_markdown(tables: Sequence[TitledTable]) -> str:
    """Tables as Markdown: titles are headings of the second level, notes are lists."""
    lines: list[str] = []
    for table in tables:
        if table.title:
            lines += [f"## {_plain(table.title)}", ""]
        if table.rows:
            lines += [
                _line(table.heads),
                _line(["---" if i in table.left else "---:" for i in range(len(table.heads))]),
            ]
            lines += [*(_line(map(_plain, row)) for row in table.rows), ""]
        if table.notes:
            lines += [*(f"- {_plain(note)}" for note in table.notes), ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = " ".join(text.split())
    for mark in ("\\", "|", "*", "`", "<"):
        flat = flat.replace(mark, "\\" + mark)
    return flat


_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 75rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid #8884; }
th { vertical-align: bottom; white-space: normal; } .text { text-align: left; }
ul { padding-left: 1.2rem; max-width: 60rem; opacity: .85; }
"""


def html(tables: Sequence[TitledTable], title: str) -> str:
    """Tables as one page without scripts, pictures or network; every text is escaped."""
    body = []
    for table in tables:
        if table.title:
            body.append(f"<h2>{escape(table.title)}</h2>")
        if table.rows:
            heads = "".join(f'<th scope="col"{_side(table, i)}>{escape(h)}</th>' for i, h in enumerate(table.heads))
            rows = "\n".join(
                "<tr>" + "".join(f"<td{_side(table, i)}>{escape(c)}</td>" for i, c in enumerate(row)) + "</tr>"
                for row in table.rows
            )
            body.append(
                f'<div class="wide"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>'
            )
        if table.notes:
            body.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in table.notes) + "</ul>")
    content = "\n".join(body)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{content}\n</body>\n</html>\n"
    )


def _side(table: TitledTable, column: int) -> str:
    return ' class="text"' if column in table.left else ""
