"""Claims and the validity of suites, for the terminal."""

from __future__ import annotations

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from xaibench.analysis.claims.verdicts import few_informative
from xaibench.analysis.leaderboard.validity import Validity
from xaibench.report.labels import interval, number
from xaibench.report.layout import Trimmed, simple_table

FEW_CHANGES_NOTE = (
    "k of n: units that differ at all. Where most are equal, or a few are far larger than the others, "
    "the test and the interval are too optimistic."
)
_STYLES = {"reproduced": "green", "refuted": "red", "inconclusive": "yellow"}


def claims_report(claims: pd.DataFrame) -> RenderableType:
    """A table of verdicts, and below it what each claim says and why nothing was decided."""
    table = simple_table(("claim", "verdict", "effect", "95 % interval", "n", "unit", "claimed"), left=(0, 1, 5, 6))
    for column in table.columns[:2]:
        column.no_wrap = True
    lines = []
    for claim in claims.to_dict("records"):
        table.add_row(
            Text(claim["id"]),
            Text(claim["verdict"], style=_STYLES[claim["verdict"]]),
            number(claim["effect"]),
            interval(claim["ci_low"], claim["ci_high"]),
            _units(claim["n"], claim["n_informative"]),
            "samples" if claim["unit"] == "sample" else "trainings",
            claimed(claim["direction"], claim["margin"]),
        )
        told = (
            _text(claim["binding"], "decided by "),
            _text(claim["message"]),
            _text(claim["would_change"], "would change it: "),
        )
        detail = "; ".join(part for part in told if part)
        lines.append(
            Text(f"{claim['id']}: {claim['statement']} [{claim['source']}]" + (f" -- {detail}" if detail else ""))
        )
    if few_informative(claims["n"], claims["n_informative"]).any():
        lines.append(Text(FEW_CHANGES_NOTE))
    counts = claims["verdict"].value_counts()
    total = ", ".join(f"{counts.get(v, 0)} {v}" for v in _STYLES)
    return Trimmed(Group(table, Text(""), *lines, Text(""), Text(f"{len(claims)} claims: {total}.")))


def history_report(history: pd.DataFrame) -> RenderableType:
    """Verdict and effect of every claim after every run, oldest first, and which verdicts changed."""
    table = simple_table(("claim", "run", "started", "verdict", "effect", "95 % interval", "n", ""), left=(0, 2, 3, 7))
    before = None
    for claim in history.to_dict("records"):
        name = (claim["suite"], claim["id"])
        table.add_row(
            Text(claim["id"] if name != before else ""),
            str(claim["run"]),
            str(claim["started"])[:16].replace("T", " "),
            Text(claim["verdict"], style=_STYLES[claim["verdict"]]),
            number(claim["effect"]),
            interval(claim["ci_low"], claim["ci_high"]),
            str(claim["n"]),
            Text("changed" if claim["flipped"] else "", style="bold"),
        )
        before = name
    flipped = history[history["flipped"]]
    names = ", ".join(dict.fromkeys(flipped["id"]))
    parts = [f"A part of the suite was run by run {r}." for r in sorted(set(history.loc[~history["whole"], "run"]))]
    counted = "1 verdict" if len(flipped) == 1 else f"{len(flipped)} verdicts"
    said = f"{counted} changed: {names}." if len(flipped) else "No verdict changed."
    return Trimmed(Group(table, Text(""), *map(Text, parts), Text(said)))


def _units(n: int, informative: int) -> str:
    """Number of units, with how many of them differ where those are few."""
    return f"{informative} of {n}" if few_informative(n, informative) else str(n)


def _text(value: object, before: str = "") -> str:
    return f"{before}{value}" if isinstance(value, str) and value else ""


def claimed(direction: str, margin: float) -> str:
    """What is claimed of the effect, as a comparison with a number."""
    if direction == "equal":
        return f"within {number(margin)}"
    return f"> {number(margin)}" if direction == "greater" else f"< {number(-margin if margin else 0.0)}"


def validity_report(suite: str, found: Validity) -> RenderableType | None:
    """A loud line where the oracle does not beat random; None where all is well."""
    if not found.invalid:
        return None
    where = ", ".join(found.invalid)
    return Text(
        f"INVALID: on {where} of suite {suite} the oracle does not beat random maps on any ground-truth metric. "
        "Scores there say nothing about explanations.",
        style="bold red",
    )
