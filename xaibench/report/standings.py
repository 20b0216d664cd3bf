"""The first screen of a leaderboard: the advice in sentences, then one row per explainer."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from xaibench.analysis.advice.verdicts import Advice, advise
from xaibench.analysis.ranks.board_summary import board_summary
from xaibench.analysis.ranks.standings import CommonGround, Standings, standings
from xaibench.report.advice import unbroken_sentences
from xaibench.report.labels import share
from xaibench.report.layout import Trimmed
from xaibench.report.overview import GAP, Overview, nothing_to_compare, overview

_NO_BREAK = "\N{NO-BREAK SPACE}"
_EXPENDABLE = ("95 % interval", "problems", "relative rank", "tests lost")
"""Columns that go where the screen is too narrow, the first one first."""


def placebo_sentence(view: Overview) -> str:
    """What placebos are, and which ones there were; why there was no test where there was none."""
    if view.untested:
        return f"{view.untested[0].upper()}{view.untested[1:]}."
    which = f": {', '.join(view.placebos)}" if view.placebos else ""
    return f"Explainers are tested against placebos, maps that cannot explain anything{which}."


def rank_sentence(ground: CommonGround | None, n_explainers: int, n_problems: int) -> str:
    """What the overall ranks are of."""
    if ground is None and n_explainers == 1:
        return "No overall rank: there is no other explainer here to compare with."
    if ground is None:
        return "No overall rank: no two explainers have scores by the same metric on the same problem."
    metrics = _count(ground.n_metrics, f"{ground.family.replace('_', ' ')} metric")
    who = (
        "all explainers"
        if ground.n_explainers == n_explainers
        else f"{ground.n_explainers} of {n_explainers} explainers"
    )
    where = _count(ground.n_problems, "problem")
    if ground.n_problems < n_problems:
        where = f"{ground.n_problems} of {n_problems} problems, those that they share"
    text = f"rank: {who}, by {metrics} on {where}"
    return f"{text}; the others were not measured on all of it." if ground.n_explainers < n_explainers else f"{text}."


def _count(n: int, name: str) -> str:
    return f"{n} {name}{'' if n == 1 else 's'}"


def standings_rows(view: Overview) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows of the table of explainers, in the order of the overall rank, without columns that say nothing.

    Returns
    -------
    heads, rows
        ``rank`` (equals share the better one; - without one), ``explainer``, ``tests won`` and ``tests lost`` of those
        against placebos, ``relative rank`` (0 best, 1 last) with its ``95 % interval``, ``problems`` with scores.
    """
    heads = ("rank", "explainer", "tests won", "tests lost", "relative rank", "95 % interval", "problems")
    rows = [
        (
            "-" if x.place is None else f"{x.place}",
            x.label,
            f"{x.won} of {x.tested}" if x.tested else "",
            f"{x.lost}" if x.lost else "",
            "" if x.place is None else share(x.relative_rank),
            "" if x.interval is None else f"{share(x.interval[0])} to {share(x.interval[1])}",
            f"{x.problems} of {view.n_problems}",
        )
        for x in view.explainers
    ]
    said = [i for i, head in enumerate(heads) if any(row[i] not in ("", "-") for row in rows)]
    said = [i for i in said if not (heads[i] == "problems" and view.single)]
    return tuple(heads[i] for i in said), [tuple(row[i] for i in said) for row in rows]


def first_screen(board: pd.DataFrame, advice: Advice | None = None, order: Standings | None = None) -> RenderableType:
    """What a run ends with: the advice in words, then a row per explainer, in the order of overall ranks.

    Parameters
    ----------
    board : DataFrame
        From `leaderboard`; of one suite.
    advice : Advice, optional
        What is advised; by default what this board advises without an audit or a certificate.
    order : Standings, optional
        `standings` of the board, where they are known.
    """
    order = standings(board) if order is None else order
    view = overview(board, board_summary(board, order))
    return Trimmed(_FirstScreen(board, view, advise(board, order=order) if advice is None else advice))


@dataclass(frozen=True)
class _FirstScreen:
    board: pd.DataFrame
    view: Overview
    advice: Advice

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        view, width = self.view, options.max_width
        if not view.columns:
            yield Text(nothing_to_compare(view))
            return
        yield _wrapped(placebo_sentence(view), width)
        if not view.untested:
            for sentence in unbroken_sentences(self.advice, self.board):
                yield _wrapped(sentence, width)
        if not view.explainers:
            return
        yield Text("")
        heads, rows = standings_rows(view)
        shown = list(range(len(heads)))
        for head in _EXPENDABLE:
            if sum(_width(heads, rows, i) + GAP for i in shown) - GAP > width and head in heads:
                shown.remove(heads.index(head))
        left = [k for k, i in enumerate(shown) if heads[i] == "explainer"]
        table = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
        for k, i in enumerate(shown):
            table.add_column(Text(_stacked(heads[i])), justify="left" if k in left else "right", overflow="fold")
        for row in rows:
            table.add_row(*(Text(row[i]) for i in shown))
        yield table
        yield _wrapped(rank_sentence(view.ground, len(view.explainers), view.n_problems), width)
        if view.explainers_of_single_cells:
            yield _wrapped(f"{view.explainers_of_single_cells}.", width)


def _stacked(head: str) -> str:
    """A head in two lines where it has two words."""
    first, space, rest = head.rpartition(" ")
    return f"{first}\n{rest}" if space else head


def _width(heads: tuple[str, ...], rows: list[tuple[str, ...]], i: int) -> int:
    return max(*(len(word) for word in _stacked(heads[i]).split("\n")), *(len(row[i]) for row in rows))


def _wrapped(text: str, width: int) -> Text:
    """A sentence over several lines, all but the first one indented; broken neither at hyphens nor within members."""
    lines = textwrap.wrap(text, max(width, 20), subsequent_indent="  ", break_on_hyphens=False)
    return Text("\n".join(lines).replace(_NO_BREAK, " "))
