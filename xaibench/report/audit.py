"""The audit of metrics, and agreement between explainers, for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from xaibench.report.labels import metric_labels, number, share, variants
from xaibench.report.layout import Trimmed, simple_table

VERDICT_STYLES = {"trusted": "green", "weak": "yellow", "undecided": "dim", "broken": "red", "does not run": "red"}
AUDIT_HEADINGS = {
    "trust": "trust", "auroc": "AUROC", "trend": "trend", "icc": "ICC", "repeatability": "repeat-\nability",
    "masker_tau": "tau over\nmaskers", "confidence_rho": "rho with\nconfidence", "agreement": "tau with\nfamily",
    "distance": "to largest\nbudget",
}  # fmt: skip
EXPENDABLE = ("distance", "agreement", "confidence_rho", "masker_tau", "repeatability")
"""Columns that are left out first where the screen is too narrow."""
AUDIT_LEGEND = (
    "AUROC: the truth against noise (sanity: gradients against a map that never looks at the model).\n"
    "trend: mean rank correlation of score and quality over the truth, the truth with noise in steps, and noise.\n"
    "ICC: share of a score's variance that is not the draw seed's; repeatability: 95 % of two scores differ by less.\n"
    "trust: the smaller of trend and ICC; 0 where broken or where the AUROC does not clear .5. Intervals: --json."
)


def audit_report(audit: pd.DataFrame) -> RenderableType:
    """A table per problem: metrics, the most trusted first, and below it what there is to say about each.

    Parameters
    ----------
    audit : DataFrame
        From `xaibench.analysis.audit.audit.audit`.
    """
    labels = metric_labels(audit)
    parts: list[RenderableType] = []
    for names, group in audit.groupby(["dataset", "model", "selection"], sort=False):
        first = group.iloc[0]
        seeds = group["n_seeds"].max()
        title = f"{names[0]}/{names[1]}, {first['n']} samples, {seeds} seed{'' if seeds == 1 else 's'}"
        parts += [Text(title, style="bold"), _AuditTable(group.to_dict("records"), labels), Text("")]
    parts += [Text(AUDIT_LEGEND), Text("")]
    counts = audit["verdict"].value_counts()
    total = ", ".join(f"{counts[v]} {v}" for v in VERDICT_STYLES if v in counts)
    return Trimmed(Group(*parts, Text(f"{len(audit)} metrics audited: {total}.")))


@dataclass(frozen=True)
class _AuditTable:
    """Metrics of one problem, with as many numbers as the width takes."""

    rows: Sequence[dict[Any, Any]]
    labels: dict[tuple[str, str, str], str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        names = [self.labels[r["metric"], r["params"], r["asked_output"]] for r in self.rows]
        columns = {c: [_cell(r[c]) for r in self.rows] for c in AUDIT_HEADINGS}
        columns = {c: texts for c, texts in columns.items() if any(texts)}
        name_width = min(max(map(len, names), default=0), max(options.max_width // 2, 24))
        for expendable in EXPENDABLE:
            if name_width + 12 + sum(_width(c, texts) for c, texts in columns.items()) <= options.max_width:
                break
            columns.pop(expendable, None)
        table = simple_table(("metric", "verdict", *(AUDIT_HEADINGS[c] for c in columns)), left=(0, 1))
        table.columns[1].no_wrap = True
        for i, (name, row) in enumerate(zip(names, self.rows, strict=True)):
            verdict = Text(row["verdict"], style=VERDICT_STYLES[row["verdict"]])
            table.add_row(Text(name), verdict, *(texts[i] for texts in columns.values()))
        yield table
        for said, who in _remarks(names, self.rows).items():
            yield Text(f"{said}: {', '.join(who)}")


def _remarks(names: Sequence[str], rows: Sequence[dict[Any, Any]]) -> dict[str, list[str]]:
    """What is said of which metrics, the worst first, each with its number; that all is well needs no words."""
    said: dict[str, list[str]] = {}
    for name, row in reversed(list(zip(names, rows, strict=True))):
        for remark in row["diagnosis"].split("; ")[row["verdict"] == "trusted" :]:
            what, _, detail = remark.partition(" (")
            said.setdefault(what, []).append(f"{name} ({detail}" if detail else name)
    return {what: who[::-1] for what, who in said.items()}


def _width(column: str, texts: Sequence[str]) -> int:
    return 3 + max(len(t) for t in (*texts, *AUDIT_HEADINGS[column].split("\n")))


def _cell(value: float) -> str:
    """A number of two digits; those of scores without bounds as short as they get."""
    if math.isnan(value):
        return ""
    return f"{value:.2f}" if abs(value) < 100 else number(value, 2)


def agreement_report(found: pd.DataFrame, measure: str) -> RenderableType:
    """A matrix per problem: agreement below the diagonal; above it chance, where that is not the same for all.

    Parameters
    ----------
    found : DataFrame
        From `xaibench.analysis.explainer_agreement.explainer_agreement`.
    measure : str
    """
    parts: list[RenderableType] = []
    chosen = found[found["measure"] == measure]
    for names, group in chosen.groupby(["dataset", "model", "selection"], sort=False):
        first = group.iloc[0]
        title = (
            f"{names[0]}/{names[1]}: {measure.replace('_', ' ')} agreement at {first['k']} of {first['features']} "
            f"features, {group['n'].max()} samples"
        )
        chances = sorted({share(c) for c in group["expected"].dropna()})
        chance = (
            f"Independent rankings agree in {chances[0]}."
            if len(chances) == 1
            else "Above the diagonal: what independent rankings with these signs agree in."
        )
        parts += [Text(title, style="bold"), _Matrix(group, len(chances) > 1), Text(chance), Text("")]
    return Trimmed(Group(*parts))


@dataclass(frozen=True)
class _Matrix:
    """A square table with numbered columns, in as many pieces as the width asks for."""

    pairs: pd.DataFrame
    with_chance: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        a = list(zip(self.pairs["explainer_a"], self.pairs["params_a"], strict=True))
        b = list(zip(self.pairs["explainer_b"], self.pairs["params_b"], strict=True))
        entries = list(dict.fromkeys([*a, *b]))
        labels = variants(entries)
        place = {entry: i for i, entry in enumerate(entries)}
        cells: dict[tuple[int, int], str] = {}
        for x, y, value, chance in zip(a, b, self.pairs["value"], self.pairs["expected"], strict=True):
            low, high = sorted((place[x], place[y]))
            cells[high, low] = "" if math.isnan(value) else share(value)
            cells[low, high] = share(chance) if self.with_chance and not math.isnan(chance) else ""
        heads = [f"{i + 1} {labels[entry]}" for i, entry in enumerate(entries)]
        name_width = min(max(map(len, heads)), options.max_width // 2)
        step = max(1, (options.max_width - name_width) // 6)
        for start in range(0, len(entries), step):
            shown = range(start, min(start + step, len(entries)))
            table = simple_table(("", *(str(j + 1) for j in shown)), left=(0,))
            for i, head in enumerate(heads):
                if self.with_chance or i >= start:
                    table.add_row(Text(head), *("-" if i == j else cells.get((i, j), "") for j in shown))
            yield table
            if shown.stop < len(entries):
                yield Text("")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values, parameters as objects, missing numbers as None."""
    found = []
    for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
        plain = {str(k): v.item() if hasattr(v, "item") else v for k, v in row.items()}
        found.append({k: _parsed(v) if k.startswith("params") or k in _JSON else v for k, v in plain.items()})
    return found


_JSON = frozenset({"ladder", "other_params"})


def _parsed(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else text
