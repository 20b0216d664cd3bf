"""What all tables for the terminal have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Trimmed:
    """Something to print, without spaces at the ends of its lines and without blank lines at its end."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        blank = 0
        for line in console.render_lines(self.content, options, pad=False):
            while line and not line[-1].text.rstrip():
                line.pop()
            if not line:
                blank += 1
                continue
            yield from [Segment.line()] * blank
            blank = 0
            last = line.pop()
            yield from line
            yield Segment(last.text.rstrip(), last.style)
            yield Segment.line()


COLUMN_GAP = 3
"""Spaces between two columns of a simple table."""


def simple_table(heads: Iterable[str], left: Iterable[int]) -> Table:
    """An empty table; the columns ``left`` are left-justified, the others right."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    text_columns = set(left)
    for i, head in enumerate(heads):
        table.add_column(Text(head), justify="left" if i in text_columns else "right", overflow="fold")
    return table
