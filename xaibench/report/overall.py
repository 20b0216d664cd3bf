"""Overall ranks as tables: per comparison, by data set, model or family, and by masker."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import RenderableType

from xaibench.analysis.leaderboard.columns import ENTRY, METRIC_FAMILIES
from xaibench.analysis.ranks.rank_orders import order_by_groups, order_by_maskers, widest_comparisons
from xaibench.analysis.ranks.standings import Standings
from xaibench.report.labels import interval, number, share, variants
from xaibench.report.overview import LOST_MARK
from xaibench.report.tables import TitledTable, terminal

OVERALL_LEGEND = (
    "relative rank: 0 best, 1 last, among the explainers of a comparison; mean over data sets, on each over votes."
    " Metrics of one construct with one masker have one vote together.",
    "Compare only within a comparison: each is over all that some explainer supports, among the explainers that"
    " support it.",
)
BOARD_ORDER = "the order of the board"
LOSES_NOTE = "! significantly worse than a placebo in some test"
NEW = "intervals (95 %) are for new problems like these: data sets are the units"


def overall_table(frame: pd.DataFrame) -> RenderableType:
    """Comparisons of `xaibench.analysis.ranks.overall.overall`: families in the usual order, explainers by rank."""
    return terminal(overall_tables(frame))


def overall_tables(frame: pd.DataFrame, found: Standings | None = None) -> list[TitledTable]:
    """One table per comparison, and the legend.

    Parameters
    ----------
    frame : DataFrame
        From `xaibench.analysis.ranks.overall.overall`.
    found : Standings, optional
        Of the same board: explainers that lose to a placebo are marked, and the comparison that gives the order of the
        board comes first and says so.
    """
    tables = []
    lost = set() if found is None else _losers(found)
    for block in sorted(_blocks(frame), key=lambda block: not _on_board(block, found)):
        several = block["ci_low"].notna().any()
        rows = [
            (
                row["label"] + (LOST_MARK if (row["explainer"], row["explainer_params"]) in lost else ""),
                number(row["relative_rank"]),
                *([interval(row["ci_low"], row["ci_high"])] if several else []),
            )
            for row in block.to_dict("records")
        ]
        heads = ("explainer", "relative rank", *(["interval"] if several else []))
        notes = (*((BOARD_ORDER,) if _on_board(block, found) else ()), f"votes: {block['recipe'].iloc[0]}")
        tables.append(TitledTable(_title(block), heads, rows, notes=notes))
    more = (*((NEW,) if frame["ci_low"].notna().any() else ()), *((LOSES_NOTE,) if lost else ()))
    return [*tables, TitledTable("", (), [], notes=(*OVERALL_LEGEND, *more))]


def _losers(found: Standings) -> set[tuple[str, str]]:
    rows = found.explainers[(found.explainers["lost"] > 0) & ~found.explainers["control"].astype(bool)]
    return set(zip(rows["explainer"], rows["explainer_params"], strict=True))


def _on_board(block: pd.DataFrame, found: Standings | None) -> bool:
    """Whether a comparison gives the order of the board: the same ranks of the same measurements."""
    if found is None or found.ground is None:
        return False
    ground, head = found.ground, block.iloc[0]
    if any(head[c] != getattr(ground, c) for c in ("family", "truth_kind", "about", "n_explainers", "n_dropped")):
        return False
    order = found.explainers.loc[found.explainers["place"].notna(), [*ENTRY, "relative_rank"]]
    both = block.merge(order, on=ENTRY, suffixes=("", "_board"))
    return len(both) == len(order) and bool((both["relative_rank"] - both["relative_rank_board"]).abs().max() < 1e-12)


def _blocks(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Comparisons in the order of families, explainers by rank, with their labels."""
    names = variants(zip(frame["explainer"], frame["explainer_params"], strict=True))
    place = {family: i for i, family in enumerate(METRIC_FAMILIES)}
    ordered = frame.assign(
        _family=frame["family"].map(place).fillna(len(place)),
        label=[names[e, p] for e, p in zip(frame["explainer"], frame["explainer_params"], strict=True)],
    ).sort_values(["_family", "family", "truth_kind", "about", "comparison", "relative_rank", *ENTRY], kind="stable")
    for _, block in ordered.groupby(["_family", "family", "truth_kind", "about", "comparison"], sort=False):
        yield block


def tables_by(frame: pd.DataFrame, by: str) -> list[TitledTable]:
    """Explainers against data sets or models (from `overall_by`), or families (from `overall`).

    Every cell is from the widest comparison that the explainer is in.
    """
    if by == "family":
        frame = frame.assign(group=[_name(row) for row in frame[["family", "truth_kind", "about"]].to_dict("records")])
        parts = [("relative rank by family", frame)]
    else:
        parts = [
            (f"{_name(dict(zip(['family', 'truth_kind', 'about'], names, strict=True)))}: relative rank by {by}", part)
            for names, part in frame.groupby(["family", "truth_kind", "about"], sort=False)
        ]
    tables = [_pivot(title, part) for title, part in parts]
    last = "~ over fewer metrics or problems than the others of the column, because it does not support them"
    return [*tables, TitledTable("", (), [], notes=(*OVERALL_LEGEND[:1], last))]


def _pivot(title: str, frame: pd.DataFrame) -> TitledTable:
    names = variants(zip(frame["explainer"], frame["explainer_params"], strict=True))
    first = widest_comparisons(frame)
    groups = list(dict.fromkeys(frame["group"]))
    cells = {
        (row["explainer"], row["explainer_params"], row["group"]): share(row["relative_rank"])
        + ("~" if row["comparison"] else "")
        for row in first.to_dict("records")
    }
    rows = [(names[e, p], *(cells.get((e, p, g), "") for g in groups)) for e, p in order_by_groups(first)]
    shared, heads = _shortened(groups)
    return TitledTable(f"{title}{f' {shared}' if shared else ''}", ("explainer", *heads), rows)


def _shortened(groups: list[str]) -> tuple[str, list[str]]:
    """The name that all groups share, and their parameters; nothing and the groups, where they share none."""
    names = {g.partition("(")[0] for g in groups}
    if len(groups) < 2 or len(names) > 1 or not all(g.endswith(")") for g in groups):
        return "", groups
    return names.pop(), [g.partition("(")[2][:-1] for g in groups]


def masker_tables(ranks: pd.DataFrame, agreement: pd.DataFrame) -> list[TitledTable]:
    """Explainers against maskers, and Kendall's tau between maskers."""
    names = variants(zip(ranks["explainer"], ranks["explainer_params"], strict=True))
    maskers = sorted(ranks["masker"].unique())
    cells = {
        (row["explainer"], row["explainer_params"], row["masker"]): share(row["relative_rank"])
        + ("~" if row["n_ranked"] < row["n_expected"] else "")
        for row in ranks.to_dict("records")
    }
    rows = [(names[e, p], *(cells.get((e, p, m), "") for m in maskers)) for e, p in order_by_maskers(ranks)]
    notes = [
        "relative rank by what removed features are replaced with: 0 best, 1 last; one vote per construct, mean over"
        " data sets"
    ]
    if any(text.endswith("~") for row in rows for text in row[1:]):
        notes.append("~ ranked on fewer problems than the masker was used on")
    first = TitledTable("rank against masker", ("explainer", *maskers), rows, notes=tuple(notes))
    if agreement.empty:
        return [first, TitledTable("", (), [], notes=("no metric was measured with two maskers",))]
    taus = {(row["masker_a"], row["masker_b"]): row for row in agreement.to_dict("records")}
    shown = [m for m in maskers if any(m in pair and pair[0] != pair[1] for pair in taus)]
    if not shown:
        return [first, TitledTable("", (), [], notes=("no metric was measured with two maskers",))]
    matrix = [(a, *(_tau(taus.get((a, b))) if a != b else "" for b in shown)) for a in shown]
    second = TitledTable(
        "Kendall's tau between maskers",
        ("masker", *shown),
        matrix,
        notes=(
            "agreement of the explainer rankings of the same metric on the same problem: 1 the same order, 0 unrelated,"
            " -1 reversed; (problems)",
        ),
    )
    return [first, second]


def _tau(row: Mapping[Hashable, Any] | None) -> str:
    return "" if row is None else f"{row['tau']:.2f} ({row['n_problems']:.0f})"


def _name(row: Mapping[Hashable, Any]) -> str:
    """Family, with the kind and the form of the truth."""
    extra = ", ".join(x for x in (row["truth_kind"], row["about"]) if x)
    return f"{row['family'].replace('_', ' ')}{f' ({extra})' if extra else ''}"


def _title(block: pd.DataFrame) -> str:
    head = block.iloc[0]
    counts = [_count(head[f"n_{name}s"], name) for name in ("explainer", "metric", "problem", "vote")]
    dropped = head["n_dropped"]
    left_out = f"; left out where a score is missing: {dropped} of {dropped + head['n_pairs']} pairs" if dropped else ""
    where = f"{counts[2]} ({head['problems']})"
    return f"{_name(head.to_dict())}: {counts[0]}, {counts[1]} in {counts[3]} on {where}{left_out}"


def _count(n: int, name: str) -> str:
    return f"{n} {name}{'' if n == 1 else 's'}"
