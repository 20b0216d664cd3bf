"""Quality against seconds as a small figure and a table, of which the page and the site show the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from xaibench.analysis.ranks.quality_and_cost import quality_and_cost
from xaibench.report.labels import interval, memory_label, number, time_label, variants

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 520.0, 260.0, 46.0, 14.0, 38.0


@dataclass(frozen=True)
class CostPanel:
    """Cost and quality of the explainers of one suite.

    Attributes
    ----------
    suite : str
    sentence : str
        Who is on the Pareto front.
    figure : Markup
        SVG: the mean relative rank (0 is best, at the top) over seconds on a logarithmic axis.
    rows : list of tuple of str
        Explainer, rank, interval, seconds, memory, front.
    """

    suite: str
    sentence: str
    figure: Markup
    rows: list[tuple[str, ...]]


COST_PANEL_HEADS = ("explainer", "relative rank", "95 % interval", "seconds a sample", "peak memory", "Pareto front")


def cost_panels(board: pd.DataFrame) -> list[CostPanel]:
    """A panel per suite whose explainers have ranks and times."""
    panels = []
    for suite, part in board.groupby("suite", sort=False):
        panel = cost_panel(str(suite), quality_and_cost(part))
        panels += [] if panel is None else [panel]
    return panels


def cost_panel(suite: str, found: pd.DataFrame) -> CostPanel | None:
    """The panel of a frame from `quality_and_cost`; None where fewer than two explainers have a rank and a time."""
    names = variants(zip(found["explainer"], found["explainer_params"], strict=True))
    found = found.assign(label=[names[key] for key in zip(found["explainer"], found["explainer_params"], strict=True)])
    drawn = found[found["relative_rank"].notna() & (found["seconds"] > 0) & ~found["control"]]
    if len(drawn) < 2:
        return None
    front = drawn[drawn["pareto"]].sort_values("seconds", kind="stable")
    told = ", ".join(f"{label} ({time_label(s)})" for label, s in zip(front["label"], front["seconds"], strict=True))
    sentence = f"No other explainer is both better and faster than: {told}."
    rows: list[tuple[str, ...]] = [
        (
            str(row["label"]),
            number(row["relative_rank"]),
            interval(row["ci_low"], row["ci_high"]),
            time_label(row["seconds"]),
            memory_label(row["memory"]),
            "yes" if row["pareto"] else "",
        )
        for row in found[~found["control"]].to_dict("records")
    ]
    return CostPanel(suite, sentence, _figure(drawn, front), rows)


def _figure(drawn: pd.DataFrame, front: pd.DataFrame) -> Markup:
    low, high = (math.log10(float(v)) for v in (drawn["seconds"].min(), drawn["seconds"].max()))
    low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    right, bottom = _WIDTH - 12, _HEIGHT - _BOTTOM

    def x(seconds: float) -> float:
        return _LEFT + (right - _LEFT) * (math.log10(seconds) - low) / (high - low)

    def y(rank: float) -> float:
        return _TOP + (bottom - _TOP) * rank

    parts = [
        Markup('<polyline class="axis" points="{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}"/>').format(
            _LEFT, _TOP, _LEFT, bottom, right, bottom
        ),
        *(_text(_LEFT - 6, y(rank) + 4, said, "end") for rank, said in ((0.0, "best"), (0.5, ".5"), (1.0, "worst"))),
        *(
            _text(x(10.0**k), bottom + 16, time_label(10.0**k), "end" if k == high else "middle")
            for k in range(low, high + 1)
        ),
        _text((_LEFT + right) / 2, _HEIGHT - 4, "seconds a sample", "middle"),
    ]
    points = [(x(s), y(r)) for s, r in zip(front["seconds"], front["relative_rank"], strict=True)]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    parts.append(Markup('<polyline class="front" points="{}"/>').format(path))
    for row in drawn.to_dict("records"):
        at = (x(row["seconds"]), y(row["relative_rank"]))
        kind = "on front" if row["pareto"] else "on"
        title = f"{row['label']}: rank {number(row['relative_rank'])}, {time_label(row['seconds'])}"
        parts.append(
            Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>').format(
                kind, *at, title
            )
        )
        if row["pareto"]:
            side = "end" if at[0] > (_LEFT + right) / 2 else "start"
            parts.append(_text(at[0] + (-7 if side == "end" else 7), at[1] - 5, str(row["label"]), side))
    head = Markup('<svg class="panel cost" viewBox="0 0 {:g} {:g}" aria-hidden="true" focusable="false">')
    return Markup("").join([head.format(_WIDTH, _HEIGHT), *parts, Markup("</svg>")])


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)
