"""A comparison of two runs, for the terminal; and its words, for every form."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from xaibench.analysis.regressions.cell_matching import BAD
from xaibench.analysis.regressions.comparison import Comparison
from xaibench.analysis.regressions.memory import larger
from xaibench.analysis.regressions.timings import slower
from xaibench.report.labels import metric_labels, number, p_value, variants
from xaibench.report.layout import Trimmed, simple_table

MAX_LISTED_FINDINGS = 40
"""Findings that are shown one by one; the rest is counted."""
MEANING = {
    "regressed": "worse than the practical delta, by a corrected test",
    "moved": "a control changed, although it explains nothing: suspect the metric",
    "failed": "had a result and fails now",
    "undefined": "had scores and has none that is defined",
    "lost": "had a result and has none now",
    "gate": "the problem passed its gates and fails them now",
    "improved": "better than the practical delta, by a corrected test",
    "fixed": "has a result now",
    "changed": "beyond rounding, but small or not significant",
    "same": "equal within rounding",
    "incomparable": "too little data for a verdict",
    "new": "not in the baseline",
    "unscored": "no scores on either side",
}
OUTCOMES = {
    "passed": "PASSED: no regression",
    "regression": "REGRESSION",
    "nothing comparable": "NOTHING COMPARABLE: this does not count as passed",
}
OUTCOME_STYLES = {"passed": "bold green", "regression": "bold red", "nothing comparable": "bold yellow"}


def named(findings: pd.DataFrame) -> pd.DataFrame:
    """Findings with short names: ``problem``, ``by`` (the explainer), ``what`` (the metric)."""
    by = variants(zip(findings["explainer"], findings["explainer_params"], strict=True))
    what = metric_labels(findings)
    keys = zip(findings["metric"], findings["params"], findings["asked_output"], strict=True)
    return findings.assign(
        problem=findings["dataset"] + "/" + findings["model"],
        by=[by[pair] for pair in zip(findings["explainer"], findings["explainer_params"], strict=True)],
        what=[what[key] for key in keys],
    )


def change(finding: dict[Hashable, Any]) -> str:
    """What changed: ``.52 to .31``, what became undefined, or why there is no score."""
    if isinstance(finding["message"], str):
        return str(finding["message"])
    if finding["measure"] == "undefined":
        return f"undefined {finding['effect']:+.0%}"
    if pd.isna(finding["baseline"]):
        return ""
    unit = " (log10)" if finding["aggregate"] == "median_log10" else ""
    return f"{number(finding['baseline'])} to {number(finding['candidate'])}{unit}"


def facts(comparison: Comparison) -> Iterator[str]:
    """What was compared, in sentences."""
    entries = len(comparison.compared)
    yield f"{entries:,} entries compared ({comparison.n_cells:,} cells)."
    if comparison.n_identical:
        yield f"{comparison.n_identical:,} cells are the same row on both sides: nothing was recomputed."
    yield from (f"{note[0].upper()}{note[1:]}." for note in comparison.notes)


def comparison_report(comparison: Comparison) -> RenderableType:
    """Counts, the findings that matter one by one, costs, and the outcome."""
    parts: list[RenderableType] = [
        Text(f"baseline   {comparison.baseline}"),
        Text(f"candidate  {comparison.candidate}"),
        *(Text(fact) for fact in facts(comparison)),
        Text(""),
        _counts(comparison),
    ]
    for title, rows in shown(comparison):
        parts += [Text(""), Text(title, style="bold"), _table(rows)]
    slow = slower(comparison.costs)
    if len(slow):
        parts += [Text(""), Text("slower than before", style="bold"), _costs(cost_rows(slow))]
    large = larger(comparison.memory)
    if len(large):
        parts += [Text(""), Text("more memory than before", style="bold"), _costs(cost_rows(large))]
    outcome = comparison.outcome
    parts += [Text(""), Text(OUTCOMES[outcome] + why(comparison), style=OUTCOME_STYLES[outcome])]
    return Trimmed(Group(*parts))


def shown(comparison: Comparison) -> Iterator[tuple[str, pd.DataFrame]]:
    """Tables of findings with their titles: what fails, what is better, what changed a little."""
    findings = named(comparison.findings)
    failing = findings.loc[comparison.failing.index]
    others = findings.drop(index=failing.index)
    for title, rows in (
        ("regressions", failing),
        ("better", others[others["verdict"].isin(("improved", "fixed"))]),
        ("gone, as allowed", others[others["verdict"].isin(BAD)]),
        ("changed, but small or not significant", others[others["verdict"] == "changed"]),
    ):
        if len(rows):
            title = (
                title
                if len(rows) <= MAX_LISTED_FINDINGS
                else f"{title} (the first {MAX_LISTED_FINDINGS} of {len(rows)})"
            )
            yield title, rows.sort_values("effect", key=abs, ascending=False, kind="stable").head(MAX_LISTED_FINDINGS)


def why(comparison: Comparison) -> str:
    """The reason for an outcome, after a colon."""
    if comparison.outcome == "regression":
        entries, slow, large = len(comparison.failing), len(comparison.too_slow), len(comparison.too_large)
        said = [f"{entries} finding{'s' if entries != 1 else ''}"] * bool(entries)
        said += [f"{slow} too slow"] * bool(slow)
        said += [f"{large} with too much memory"] * bool(large)
        return f": {', '.join(said)}"
    return f" in {len(comparison.compared):,} entries" if comparison.outcome == "passed" else ""


def _counts(comparison: Comparison) -> RenderableType:
    table = simple_table(("verdict", "entries", "meaning"), left=(0, 2))
    for verdict, n in comparison.counts.items():
        meaning = MEANING[verdict]
        if verdict == "incomparable":
            told = comparison.reasons(verdict)
            meaning = "; ".join(f"{text} ({n} cells)" for text, n in told[:3])
            meaning += f"; and {len(told) - 3} other reasons" if len(told) > 3 else ""
        table.add_row(verdict, f"{n:,}", Text(meaning))
    return table


def _table(rows: pd.DataFrame) -> RenderableType:
    table = simple_table(("verdict", "problem, explainer, metric", "change", "delta", "p", "n"), left=(0, 1, 2))
    for column in (table.columns[0], *table.columns[3:]):
        column.no_wrap = True
    for finding in rows.to_dict("records"):
        tested = not isinstance(finding["message"], str) and finding["verdict"] not in ("fixed", "undefined")
        table.add_row(
            str(finding["verdict"]),
            Text(f"{finding['problem']} {finding['by']} {finding['what']}"),
            Text(change(finding)),
            number(finding["delta"]) if tested else "",
            p_value(float(finding["p_corrected"])) if tested else "",
            str(finding["n"]) if tested else "",
        )
    return table


COST_HEADS = ("stage", "name", "before", "now", "ratio")


def cost_rows(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Seconds (of `slower`) or memory (of `larger`) on both sides, as texts under `COST_HEADS`."""
    seconds = "baseline_seconds" in rows
    told = []
    for row in rows.to_dict("records"):
        before, now = (row[f"{side}_{'seconds' if seconds else 'bytes'}"] for side in ("baseline", "candidate"))
        both = [f"{v:.1f} s" if seconds else f"{v / 1e6:.0f} MB" for v in (before, now)]
        ratio = f"{row['ratio']:.1f}" if before > 0 else ""
        told.append((str(row["stage"]), str(row["name"]), *both, ratio))
    return told


def _costs(rows: list[tuple[str, ...]]) -> RenderableType:
    table = simple_table(COST_HEADS, left=(0, 1))
    for row in rows[:MAX_LISTED_FINDINGS]:
        table.add_row(*map(Text, row))
    return table
