"""A certificate for the terminal: what was proved, and from which reliance on every explainer shows the shortcut."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from xaibench.core.components import ORACLE
from xaibench.report.labels import share
from xaibench.report.layout import Trimmed, simple_table

_EXPENDABLE = ("interval", "twin", "lower levels")
"""What goes where the screen is too narrow, the first one first."""


@dataclass(frozen=True)
class CertificateText:
    """What stands around the table.

    Attributes
    ----------
    opening : str
        Recipe, data, plant and copies.
    proof : str
        What interventions showed.
    summary : str
    notes : tuple of str
    """

    opening: str
    proof: str
    summary: str
    notes: tuple[str, ...] = ()


def certificate_screen(text: CertificateText, thresholds: pd.DataFrame, copies: pd.DataFrame) -> RenderableType:
    """The screen that ``xaibench certify`` ends with.

    Parameters
    ----------
    text : CertificateText
    thresholds, copies : DataFrame
        Of a certificate with verdicts.
    """
    return Trimmed(_Screen(text, thresholds, copies))


def proof_sentence(copies: pd.DataFrame, original: float) -> str:
    """What the copies of the highest level that counts provably do, in a sentence."""
    good = copies[copies["gates_passed"]].drop_duplicates(["level", "copy"])
    used, twins = good[good["level"] > 0], good[good["level"] == 0]
    if not len(used):
        return "proved: nothing"
    full = used[used["level"] == used["level"].max()]
    return (
        f"proved: level {full['level'].iloc[0]:g} obeys the plant in {100 * full['reliance'].mean():.0f} % of the rows "
        f"(twin {100 * twins['reliance'].abs().mean():.0f} %), clean accuracy {small_share(original)} -> "
        f"{small_share(full['clean_accuracy'].mean())}, nothing else carries it"
    )


def threshold_text(row: pd.Series[Any]) -> str:
    """A threshold as people read it: ``.24``, ``below .21``, ``never``."""
    if row["explainer"] == ORACLE:
        return ""
    if row["censored"] == "never" or math.isinf(row["threshold"]):
        return "never"
    if math.isnan(row["threshold"]):
        return ""
    return f"below {share(row['threshold'])}" if row["censored"] == "below" else share(row["threshold"])


def interval_text(row: pd.Series[Any]) -> str:
    """The interval of a threshold; nothing for controls and where there is none."""
    low, high = row["threshold_low"], row["threshold_high"]
    censored = row["censored"] == "below" and low == high
    if row["control"] or censored or math.isnan(low) or (math.isinf(low) and math.isinf(high)):
        return ""
    return f"[{share(low)} {'never' if math.isinf(high) else share(high)}]"


def found_at(copies: pd.DataFrame) -> pd.DataFrame:
    """Share of decisive rows found, by explainer and mean reliance of the levels that count.

    Returns
    -------
    DataFrame
        Index: explainer; columns: the levels; ``attrs["reliance"]`` has their mean reliance.
    """
    good = copies[copies["gates_passed"] & (copies["level"] > 0)]
    found = good.pivot_table(index="explainer", columns="level", values="found", aggfunc="mean", dropna=False)
    found.attrs["reliance"] = good.groupby("level")["reliance"].mean().to_dict()
    return found


@dataclass(frozen=True)
class _Screen:
    text: CertificateText
    thresholds: pd.DataFrame
    copies: pd.DataFrame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        width = options.max_width
        yield _wrapped(self.text.opening, width)
        yield _wrapped(self.text.proof, width)
        for note in self.text.notes:
            yield _wrapped(f"note: {note}", width)
        found = found_at(self.copies)
        if len(found.columns):
            yield Text("")
            yield self._table(found, width)
        yield Text("")
        yield _wrapped(self.text.summary, width)

    def _table(self, found: pd.DataFrame, width: int) -> RenderableType:
        levels, reliance = [float(level) for level in found.columns], found.attrs["reliance"]
        dropped: set[str] = set()
        while True:
            heads, rows = self._cells(found, levels, reliance, dropped)
            size = sum(
                max(*(len(part) for part in head.split("\n")), *(len(row[i]) for row in rows)) + 2
                for i, head in enumerate(heads)
            )
            left = [name for name in _EXPENDABLE if name not in dropped]
            if size - 2 <= width or not left:
                break
            dropped.add(left[0])
            levels = levels[-1:] if "lower levels" in dropped else levels
        table = simple_table(heads, {0, len(heads) - 1})
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def _cells(
        self, found: pd.DataFrame, levels: list[float], reliance: dict[float, float], dropped: set[str]
    ) -> tuple[list[str], list[list[str]]]:
        heads = ["explainer", "noticed from\nreliance"]
        heads += [] if "interval" in dropped else ["\n95 % interval"]
        heads += ["ties", *(f"found at\n{share(reliance[level])}" for level in levels)]
        heads += [] if "twin" in dropped else ["on the\ntwin"]
        heads.append("verdict")
        rows = []
        index = product(self.thresholds["explainer"], levels)
        known = {(n, x): float(found[x].get(n, math.nan)) for n, x in index}
        for _, row in self.thresholds.iterrows():
            name = row["explainer"]
            cells = [name, threshold_text(row)]
            cells += [] if "interval" in dropped else [interval_text(row)]
            cells.append(row["tie_group"])
            cells += [small_share(known[name, level]) for level in levels]
            cells += [] if "twin" in dropped else [small_share(row["found_on_twin"])]
            cells.append(row["verdict"])
            rows.append(cells)
        return heads, rows


def small_share(value: float) -> str:
    """A number from -1 to 1 in two digits, ``-.13``; nothing for NaN.

    Examples
    --------
    >>> from xaibench.report.certificate import small_share
    >>> small_share(0.125), small_share(-0.001), small_share(-0.13)
    ('.12', '.00', '-.13')
    """
    if math.isnan(value):
        return ""
    return share(abs(value)) if value > -0.005 else f"-{share(-value)}"


def _wrapped(text: str, width: int) -> Text:
    return Text("\n".join(textwrap.wrap(text, max(width, 20), break_on_hyphens=False)))
