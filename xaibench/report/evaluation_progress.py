"""Progress of an evaluation in Python: a bar in a terminal, a line in a notebook, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[str], None]
"""Says that a step is done, and what comes next."""


@contextmanager
def evaluation_progress(total: int, *, shown: bool | None = None) -> Iterator[Advance]:
    """Show how many of ``total`` steps are done.

    Parameters
    ----------
    total : int
    shown : bool, optional
        By default in terminals and notebooks only.
    """
    console = Console(file=sys.stderr)
    if shown is False or (shown is None and not (console.is_terminal or console.is_jupyter)):
        yield lambda text: None
    elif console.is_jupyter:
        with _notebook_line(total) as advance:
            yield advance
    else:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("", total=total)
            first = True

            def advance(text: str) -> None:
                nonlocal first
                bars.update(task, description=text, advance=0 if first else 1)
                first = False

            yield advance


@contextmanager
def _notebook_line(total: int) -> Iterator[Advance]:
    """A line that is written again in its place; it needs no widgets."""
    from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

    done = -1
    line = display({"text/plain": ""}, raw=True, display_id=True)

    def advance(text: str) -> None:
        nonlocal done
        done += 1
        line.update({"text/plain": f"{done}/{total}  {text}"}, raw=True)

    yield advance
    line.update({"text/plain": f"{total}/{total}"}, raw=True)
