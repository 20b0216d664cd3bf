"""The overall mean of relative ranks, one table per comparison."""

from __future__ import annotations

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from xaibench.analysis.leaderboard import FAMILIES
from xaibench.report.labels import number, variants
from xaibench.report.layout import Trimmed, simple_table

LEGEND = (
    "relative rank: mean over the problems and metrics of a comparison, 0 best, 1 last, among its explainers. Compare"
    " only within a comparison: each is over all that some explainer supports, among the explainers that support it."
)


def overall_table(frame: pd.DataFrame) -> RenderableType:
    """Comparisons of `xaibench.analysis.ranks.overall`: families in the usual order, explainers by rank."""
    names = variants(zip(frame["explainer"], frame["explainer_params"], strict=True))
    place = {family: i for i, family in enumerate(FAMILIES)}
    ordered = frame.assign(
        _family=frame["family"].map(place).fillna(len(place)),
        label=[names[e, p] for e, p in zip(frame["explainer"], frame["explainer_params"], strict=True)],
    ).sort_values(["_family", "family", "truth_kind", "comparison", "relative_rank", "label"], kind="stable")
    kinds = bool((frame["truth_kind"] != "").any())
    heads = ["family", *(["truth kind"] if kinds else []), "explainer", "relative rank", "problems", "metrics"]
    parts: list[RenderableType] = []
    for _, block in ordered.groupby(["_family", "family", "truth_kind", "comparison"], sort=False):
        parts.append(Text(_title(block), style="bold"))
        table = simple_table(heads, left=range(3 if kinds else 2))
        for row in block.to_dict("records"):
            table.add_row(
                Text(row["family"].replace("_", " ")),
                *([Text(row["truth_kind"])] if kinds else []),
                Text(row["label"]),
                number(row["relative_rank"]),
                str(row["n_problems"]),
                str(row["n_metrics"]),
            )
        parts += [table, Text("")]
    return Trimmed(Group(*parts, Text(LEGEND)))


def _title(block: pd.DataFrame) -> str:
    head = block.iloc[0]
    family = head["family"].replace("_", " ") + (f" ({head['truth_kind']})" if head["truth_kind"] else "")
    counts = [_count(head[f"n_{name}s"], name) for name in ("explainer", "metric", "problem")]
    dropped = head["n_dropped"]
    left_out = f"; left out where a score is missing: {dropped} of {dropped + head['n_pairs']} pairs" if dropped else ""
    return f"{family}: {counts[0]}, {counts[1]} on {counts[2]} ({head['problems']}){left_out}"


def _count(n: int, name: str) -> str:
    return f"{n} {name}{'' if n == 1 else 's'}"
