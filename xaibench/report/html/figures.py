"""Figures: drawn by matplotlib, put into the page as SVG that takes its colours, and saved as files."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from xaibench.report.html.content import Curves
from xaibench.report.html.critical import Diagram
from xaibench.report.labels import number

INK, MUTED, ACCENT, WARM = "#1b1f24", "#6b747e", "#0b62a8", "#b3400e"
"""The page's style sheet replaces them by its own; blue and vermilion differ for every kind of colour vision."""
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "svg.hashsalt": "xaibench",
    "font.family": ["sans-serif"],
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures. Names are never read as formulas, and a missing glyph does not warn."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def svg(figure: Figure, prefix: str) -> str:
    """A figure as an element to stand in a page.

    Text stays text. Styles become attributes, because the page allows no inline styles, and ids get a
    prefix, because a page holds several figures.
    """
    buffer = io.StringIO()
    with style(), mpl.rc_context({"svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<[^>]*?) style="([^"]*)"', lambda m: m[1] + _attributes(m[2]), text)
    text = re.sub(r' font-family="[^"]*"| font-weight="400"', "", text)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    width = round(96 * figure.get_figwidth())
    text = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', rf'\1 width="{width}"', text, count=1)
    # Coordinates need no more than two decimals; only within tags, for text says what was measured.
    text = re.sub(r"<[^>]+>", lambda m: re.sub(r"(\d\.\d{2})\d+", r"\1", m[0]), text)
    return re.sub(r"\s*\n\s*", " ", text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)).strip()


def _attributes(declarations: str) -> str:
    pairs = (d.partition(":") for d in declarations.split(";") if d.strip())
    return "".join(f' {name.strip()}="{value.strip().replace(chr(34), chr(39))}"' for name, _, value in pairs)


def save(
    figures: Mapping[str, Callable[[], Figure]], folder: Path, *, tell: Callable[[str], object] = str
) -> list[Path]:
    """Write every figure as PNG and SVG; ``tell`` is called with a few words before every tenth."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with style():
        for i, (name, draw) in enumerate(figures.items()):
            if i % 10 == 0:
                tell(f"writing figure {i + 1} of {len(figures)}")
            figure = draw()
            stem = re.sub(r"[^\w.+=-]+", "_", name)
            for form in ("png", "svg"):
                paths.append(folder / f"{stem}.{form}")
                metadata = {"Date": None} if form == "svg" else {}
                figure.savefig(paths[-1], dpi=160, facecolor="white", metadata=metadata)
    return paths


def save_pdf(figures: Mapping[str, Callable[[], Figure]], path: Path) -> None:
    """Write all figures into one PDF, a page each."""
    with style(), PdfPages(path) as pages:
        for draw in figures.values():
            pages.savefig(draw(), facecolor="white")


def short(name: str, most: int = 28) -> str:
    """A name for a figure, on one line: an endless one would leave no room for the figure itself."""
    line = " ".join(name.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def common_style(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the common style."""

    def in_style(*args: Any, **kwargs: Any) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return in_style


def _grid(
    n: int, columns: int, panel: tuple[float, float], margin: tuple[float, float], *, share: bool = False
) -> tuple[Figure, list[Any]]:
    """A figure with n panels, and their axes.

    Sizes are (width, height) in inches: of a panel, and of the room to its left and above it. Said
    and not found: matplotlib's own layout of many panels takes longer than drawing them.
    """
    columns = min(columns, n)
    rows = -(-n // columns)
    outer = (0.45, 0.45) if share else (0.0, 0.25)
    width = outer[0] + columns * (panel[0] + margin[0]) + 0.1
    height = outer[1] + rows * (panel[1] + margin[1])
    figure = Figure(figsize=(width, height))
    axes: list[Any] = []
    for k in range(n):
        row, column = divmod(k, columns)
        left = outer[0] + column * (panel[0] + margin[0]) + margin[0]
        top = row * (panel[1] + margin[1]) + margin[1]
        place = (left / width, 1 - (top + panel[1]) / height, panel[0] / width, panel[1] / height)
        shared = {"sharex": axes[0], "sharey": axes[0]} if share and axes else {}
        axes.append(figure.add_axes(place, **shared))
        if share:
            axes[-1].tick_params(labelleft=column == 0, labelbottom=k + columns >= n)
    return figure, axes


@common_style
def rank_interval_figure(panels: dict[str, pd.DataFrame], *, columns: int = 3) -> Figure:
    """Rank intervals of explainers, one panel per problem.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        Title to rows with ``label, rank, rank_low, rank_high``, in the order that is drawn.
    """
    most = max(len(rows) for rows in panels.values())
    longest = max(len(short(label)) for rows in panels.values() for label in rows["label"])
    beside = 0.25 + 0.062 * longest
    figure, axes = _grid(len(panels), columns, (1.6, 0.2 + 0.17 * most), (beside, 0.5))
    for axis, (title, rows) in zip(axes, panels.items(), strict=True):
        y = np.arange(len(rows))
        axis.hlines(y, rows["rank_low"] - 0.12, rows["rank_high"] + 0.12, color=ACCENT, linewidth=5, alpha=0.45)
        axis.plot(rows["rank"], y, "o", color=ACCENT, markersize=3)
        axis.set_yticks(y, [short(label) for label in rows["label"]], fontsize=7.5)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlim(0.3, max(rows["rank_high"].max(), 2) + 0.7)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_title(short(title, 40), fontsize=8, x=-0.8 * beside / 1.6)
        axis.tick_params(length=2, labelsize=7.5)
        axis.grid(axis="x", color=MUTED, alpha=0.25, linewidth=0.5)
    return figure


@common_style
def draw_critical_difference(diagram: Diagram) -> Figure:
    """Mean ranks on a line, the best one left; bars join what the test cannot separate (Demsar 2006, figure 1)."""
    labels, ranks = diagram.rows["label"].tolist(), diagram.rows["mean_rank"].tolist()
    k, half = len(labels), (len(labels) + 1) // 2
    bars = len(diagram.groups)
    figure = Figure(figsize=(7.4, 0.95 + 0.14 * bars + 0.2 * half), layout="constrained")
    axis = figure.subplots()
    low, high = 1.0, float(max(k, 2))
    span = high - low
    for i, (label, rank) in enumerate(zip(labels, ranks, strict=True)):
        left = i < half
        y = -0.9 - 0.45 * bars - 0.6 * (i if left else k - 1 - i)
        end = low - 0.04 * span if left else high + 0.04 * span
        axis.plot([rank, rank, end], [0, y, y], color=MUTED, linewidth=0.8)
        axis.plot(rank, 0, "o", color=ACCENT, markersize=3.5, zorder=3)
        text = f"{short(label)}  {number(rank)}" if left else f"{number(rank)}  {short(label)}"
        axis.text(end, y, f"{text} " if left else f" {text}", ha="right" if left else "left", va="center", fontsize=8)
    place = dict(zip(labels, ranks, strict=True))
    for j, names in enumerate(diagram.groups):
        ends = [min(place[n] for n in names) - 0.01 * span, max(place[n] for n in names) + 0.01 * span]
        axis.plot(ends, [-0.5 - 0.45 * j] * 2, color=INK, linewidth=3, solid_capstyle="butt")
    axis.plot([low, min(low + diagram.difference, high)], [1.5, 1.5], color=WARM, linewidth=2)
    axis.text(low, 1.75, f"critical difference {number(diagram.difference)}", fontsize=8, color=WARM, va="bottom")
    axis.plot([low, high], [0, 0], color=INK, linewidth=0.8)
    for tick in range(1, k + 1):
        axis.plot([tick, tick], [0, 0.22], color=INK, linewidth=0.8)
        axis.text(tick, 0.4, str(tick), ha="center", va="bottom", fontsize=8)
    axis.set_xlim(low - 0.42 * span, high + 0.42 * span)
    axis.set_axis_off()
    return figure


@common_style
def draw_removal_curves(curves: Curves, *, columns: int = 4) -> Figure:
    """Mean removal curve of every explainer with its 95 % band, beside those of random and oracle."""
    beside = [x for x in curves.lines if x.control]
    own = [x for x in curves.lines if not x.control]
    figure, axes = _grid(max(len(own), 1), columns, (1.65, 1.2), (0.22, 0.32), share=True)
    for i, axis in enumerate(axes):
        for line, dashes in zip(beside, ("--", ":", "-."), strict=False):
            axis.plot(curves.share, line.curve.mean, color=MUTED, linewidth=1, linestyle=dashes)
        if own:
            found = own[i].curve
            axis.fill_between(curves.share, found.low, found.high, color=ACCENT, alpha=0.22, linewidth=0)
            axis.plot(curves.share, found.mean, color=ACCENT, linewidth=1.4)
            axis.set_title(short(own[i].label), fontsize=8)
        axis.tick_params(length=2, labelsize=7.5)
        axis.set_xlim(0, 1)
    figure.text(0.5, 0.06 / figure.get_figheight(), "share of features removed, most relevant first", ha="center")
    figure.text(0.1 / figure.get_figwidth(), 0.5, curves.output, rotation=90, va="center")
    return figure


@common_style
def agreement_matrix(values: pd.DataFrame, *, centre: float) -> Figure:
    """A matrix of agreement between explainers, each value written into its cell.

    Parameters
    ----------
    values : DataFrame
        Square, explainers by explainers.
    centre : float
        What independent explanations would give: where the colours turn.
    """
    n = len(values)
    side = 0.8 + 0.36 * n + 0.06 * max(len(short(name)) for name in values.columns)
    figure = Figure(figsize=(side, side * 0.92), layout="constrained")
    axis = figure.subplots()
    agreement = values.to_numpy(dtype=np.float64)
    # The whole range of agreement, not that of the values: chance must not look like something.
    reach = max(centre, 1 - centre)
    axis.imshow(agreement - centre, cmap="RdBu_r", vmin=-reach, vmax=reach)
    for (i, j), value in np.ndenumerate(agreement):
        if np.isfinite(value):
            strong = abs(value - centre) > 0.6 * reach
            text = number(value, 2).replace("0.", ".", 1)
            axis.text(j, i, text, ha="center", va="center", fontsize=6, color="#fefefe" if strong else "#101418")
    axis.set_xticks(range(n), [short(name) for name in values.columns], rotation=90, fontsize=7)
    axis.set_yticks(range(n), [short(name) for name in values.index], fontsize=7)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    return figure
