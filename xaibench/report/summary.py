"""A comparison of two runs as Markdown, for the summary of a CI job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from xaibench.analysis.regressions.comparison import Comparison
from xaibench.analysis.regressions.memory import larger
from xaibench.analysis.regressions.timings import slower
from xaibench.report.labels import number, p_value
from xaibench.report.regressions import COST_HEADS, MEANING, OUTCOMES, change, cost_rows, facts, shown, why

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]<>#|~&$"} | {"\n": " ", "\r": " "})


def summary_markdown(comparison: Comparison) -> str:
    """A page of GitHub Markdown: outcome, counts, tables of findings and costs. Names cannot break out of a cell."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"## {OUTCOMES[comparison.outcome]}{why(comparison)}"
    yield ""
    yield f"- baseline: {escape(str(comparison.baseline))}"
    yield f"- candidate: {escape(str(comparison.candidate))}"
    yield from (f"- {escape(fact)}" for fact in facts(comparison))
    yield ""
    counts = ([verdict, f"{n:,}", MEANING[verdict]] for verdict, n in comparison.counts.items())
    yield from _table(("verdict", "entries", "meaning"), "lrl", counts)
    for title, rows in shown(comparison):
        yield from ("", f"### {title[0].upper()}{title[1:]}", "")
        yield from _findings(rows)
    told = comparison.reasons("incomparable")
    if told:
        yield from ("", "### Not comparable", "")
        yield from _table(("why", "cells"), "lr", ((text, str(n)) for text, n in told[:20]))
    for title, rows in (
        ("Slower than before", slower(comparison.costs)),
        ("More memory than before", larger(comparison.memory)),
    ):
        if len(rows):
            yield from ("", f"### {title}", "")
            yield from _table(COST_HEADS, "llrrr", map(list, cost_rows(rows)))


def _findings(rows: pd.DataFrame) -> Iterator[str]:
    heads = ("verdict", "problem", "explainer", "metric", "seeds", "change", "delta", "p", "n", "cells")
    cells = (
        [
            str(f["verdict"]), f["problem"], f["by"], f["what"], f["seeds"], change(f), number(f["delta"]),
            p_value(float(f["p_corrected"])), str(f["n"] or ""), str(f["n_cells"]),
        ]
        for f in rows.to_dict("records")
    )  # fmt: skip
    return _table(heads, "llllllrrrr", cells)


def _table(heads: Iterable[str], sides: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield _row(heads)
    yield _row("---:" if side == "r" else "---" for side in sides)
    yield from (_row(map(escape, row)) for row in rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escape(text: str) -> str:
    """Text in which nothing is Markdown or HTML, on one line."""
    return text.translate(_SPECIAL)
