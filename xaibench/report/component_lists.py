"""Components as a list by family, for the terminal: names only, or a line for each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from xaibench.analysis.leaderboard.columns import METRIC_FAMILIES
from xaibench.report.layout import Trimmed

NamesByFamily = dict[str, list[tuple[str, str]]]
"""Family to names with their line of description."""
_KINDS = {
    "slope": "slopes: derivatives of the output",
    "contribution": "contributions: they add up to a difference of outputs",
    "saliency": "saliencies: importance without a sign",
    "per problem": "of a kind that depends on the problem",
}


def by_family(kind: str, frame: pd.DataFrame) -> NamesByFamily:
    """Group what `xaibench list` shows of a kind.

    Parameters
    ----------
    kind : str
        ``explainers``, ``metrics``, ``datasets``, ``models``, ``maskers``, ``functions``,
        ``interpreters`` or ``suites``.
    frame : DataFrame
        ``name``, ``summary`` or ``description``, and by kind ``family``, ``kind``, ``control`` or ``features``.

    Returns
    -------
    dict
        Metrics by family, explainers by what their attributions are with the controls last, data sets and models by
        the features that they are for; everything else in one group without a name.
    """
    summaries = frame["description"] if "description" in frame else frame["summary"]
    groups: NamesByFamily = {}
    for i, row in enumerate(frame.to_dict("records")):
        groups.setdefault(_family(kind, row), []).append((str(row["name"]), str(summaries.iloc[i])))
    order = [*(f.replace("_", " ") for f in METRIC_FAMILIES), *_KINDS.values()]
    place = {family: i for i, family in enumerate(order)}
    last = ("controls", "any")
    return dict(sorted(groups.items(), key=lambda x: (x[0] in last, place.get(x[0], len(place)), x[0])))


def _family(kind: str, row: dict[object, object]) -> str:
    if kind == "metrics":
        return str(row["family"]).replace("_", " ")
    if kind in ("explainers", "interpreters") and row["control"]:
        return "controls"
    if kind == "explainers":
        return _KINDS.get(str(row["kind"]), str(row["kind"]))
    return str(row["features"]) if kind in ("datasets", "models", "maskers") else ""


def grouped_list(groups: NamesByFamily, *, described: bool) -> RenderableType:
    """Names by family: all of a family in one paragraph, or ``described``, a line for each."""
    return Trimmed(_GroupedList(groups, described))


@dataclass(frozen=True)
class _GroupedList:
    groups: NamesByFamily
    described: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width = max(options.max_width, 20)
        longest = max((len(name) for members in self.groups.values() for name, _ in members), default=0)
        column = min(longest, width // 2)
        for i, (family, members) in enumerate(self.groups.items()):
            if self.described:
                if family:
                    yield Text(("\n" if i else "") + f"{family} ({len(members)})", style="bold")
                for name, summary in members:
                    yield _line(name, " ".join(summary.replace("``", "`").split()), column, width)
                continue
            names = ", ".join(name for name, _ in members)
            head = f"{family} ({len(members)}): " if family else ""
            yield Text("\n".join(textwrap.wrap(head + names, width - 2, initial_indent="  ", subsequent_indent="    ")))


def _line(name: str, summary: str, column: int, width: int) -> Text:
    room = width - column - 4
    if len(summary) > room:
        summary = summary[: max(room - 3, 0)].rstrip(" ,;:.") + "..."
    return Text(f"  {name:<{column}}  {summary}")
