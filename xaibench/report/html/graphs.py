"""Graphs with their explanations: lines coloured by the map, the truth outlined, one layout for all explainers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from xaibench.core.types import Array
from xaibench.report.edges import top_edges
from xaibench.report.html.content import Gallery, GraphShape, Instance, Map
from xaibench.report.html.figures import common_style, short
from xaibench.report.html.graph_layout import positions
from xaibench.report.html.pictures import is_signed, map_picture, truth_picture

MOST_EDGES = 60
"""More edges than these are not drawn: the largest of the map, and those of the truth."""
DRAWN_FEATURES = frozenset({"edges", "nodes"})
"""Features that are drawn on the graph; cells of node features are pictures."""
_SIDE, _MARGIN = 200, 10
_WIDTHS = 0.8, 4.5
"""Width of a line that means nothing, and of the strongest one."""


@dataclass(frozen=True)
class GraphPicture:
    """A graph with what it says: ``title``, a line below, a text for those who do not see it, and the drawing."""

    title: str
    below: str
    alt: str
    svg: Markup


@dataclass(frozen=True)
class _Strokes:
    """How strongly edges and nodes are drawn, from 0 to 1, and the style class of each."""

    edges: Array
    nodes: Array
    edge_classes: list[str]
    node_classes: list[str]
    shown: Array


def drawn_as_graphs(gallery: Gallery) -> bool:
    """Whether the samples of a gallery are drawn as graphs."""
    return gallery.features in DRAWN_FEATURES and all(i.graph is not None for i in gallery.instances)


def graph_pictures(gallery: Gallery, instance: Instance) -> list[GraphPicture]:
    """The graph itself with its truth, then with every map."""
    shape = instance.graph
    assert shape is not None
    cut = _without_padding(instance, shape, gallery.features)
    places = positions(shape.src, shape.dst, shape.n_nodes, shape.target)
    own = _of_map(None, shape, cut.truth, gallery.features)
    known = truth_picture(cut, gallery.features)
    size = f"{len(shape.src)} edges, {shape.n_nodes} nodes"
    first = "the graph" if known is None else "the graph and its truth"
    below = [
        instance.target,
        *([] if known is None else ["outlined: matters"] if _is_mask(cut.truth) else [known.below]),
    ]
    alt = f"{size}; {instance.target}" + ("" if known is None else f"; {known.alt}")
    found = [GraphPicture(first, "; ".join([*below, size]), alt, _svg(shape, places, own, cut.truth, alt))]
    for one in cut.maps:
        strokes = _of_map(one, shape, cut.truth, gallery.features)
        said = map_picture(one, gallery.features, scored=bool(gallery.metric))
        more = len(shape.src) - int(strokes.shown.sum())
        lines = [said.below, *([f"{more} more edges"] if more else [])]
        largest = top_edges(one.values, shape.src, shape.dst) if gallery.features == "edges" else said.alt
        alt = f"{one.label}: {largest}"
        found.append(GraphPicture(one.label, "; ".join(lines), alt, _svg(shape, places, strokes, cut.truth, alt)))
    return found


def _is_mask(truth: Array | None) -> bool:
    return truth is not None and truth.dtype == np.bool_


def _without_padding(instance: Instance, shape: GraphShape, features: str) -> Instance:
    n = len(shape.src) if features == "edges" else shape.n_nodes
    maps = tuple(Map(m.label, m.kind, m.values[:n], m.score) for m in instance.maps)
    truth = None if instance.truth is None else instance.truth[:n]
    return Instance(
        instance.sample, instance.index, instance.reason, instance.inputs, truth, instance.target, maps, graph=shape
    )


def _of_map(found: Map | None, shape: GraphShape, truth: Array | None, features: str) -> _Strokes:
    """Strengths of a map; without one those of signed truths, and nothing of masks, which are outlined."""
    n_edges, n_nodes = len(shape.src), shape.n_nodes
    edges, nodes = np.zeros(n_edges), np.zeros(n_nodes)
    classes = ["none"] * n_edges, ["none"] * n_nodes
    values = found.values if found is not None else None if truth is None or _is_mask(truth) else truth
    # A map that says the same of everything points at nothing.
    if values is not None and (len(values) == 1 or np.ptp(values) > 0 or not np.isfinite(values).all()):
        values = np.where(np.isfinite(values), values, 0.0).astype(float)
        reach = float(np.abs(values).max()) or 1.0
        signed = is_signed(values, "slope" if found is None else found.kind)
        words = ["unsigned" if not signed else "for" if v > 0 else "against" for v in values]
        if features == "edges":
            edges, classes = np.abs(values) / reach, (words, classes[1])
        else:
            nodes, classes = np.abs(values) / reach, (classes[0], words)
    shown = np.ones(n_edges, bool)
    if n_edges > MOST_EDGES:
        shown = np.zeros(n_edges, bool)
        shown[np.argsort(-edges, kind="stable")[:MOST_EDGES]] = True
        if features == "edges" and truth is not None:
            shown |= truth != 0
    return _Strokes(edges, nodes, *classes, shown)


def _svg(shape: GraphShape, places: Array, strokes: _Strokes, truth: Array | None, alt: str) -> Markup:
    """Weak lines first, so that strong ones are on top."""
    at = (_MARGIN + places * (_SIDE - 2 * _MARGIN)).round(1)
    parts = [Markup('<svg class="graph" viewBox="0 0 {0} {0}" role="img" aria-label="{1}">').format(_SIDE, alt)]
    matters = truth if _is_mask(truth) and truth is not None and len(truth) == len(shape.src) else None
    for e in np.argsort(strokes.edges, kind="stable").tolist():
        if not strokes.shown[e]:
            continue
        a, b = at[shape.src[e]], at[shape.dst[e]]
        if matters is not None and matters[e]:
            parts.append(_line(a, b, "truth", 8.0, 1.0))
        parts.append(_line(a, b, "edge", _WIDTHS[0], 0.4))
        strength = float(strokes.edges[e])
        if strength > 0.02:
            width = _WIDTHS[0] + strength * (_WIDTHS[1] - _WIDTHS[0])
            parts.append(_line(a, b, strokes.edge_classes[e], width, 0.25 + 0.75 * strength))
    known = truth if _is_mask(truth) and truth is not None and len(truth) == shape.n_nodes else None
    for node, (x, y) in enumerate(at.tolist()):
        style = f"node n{shape.classes[node]}" if shape.classes[node] >= 0 else "node"
        outlined = " truth" if known is not None and matters is None and known[node] else ""
        radius = 5 if node == shape.target else 3.2
        parts.append(Markup('<circle class="{}{}" cx="{}" cy="{}" r="{}"/>').format(style, outlined, x, y, radius))
        if strokes.nodes[node] > 0.02:
            parts.append(
                Markup('<circle class="{}" cx="{}" cy="{}" r="{}" fill-opacity="{}"/>').format(
                    f"dot {strokes.node_classes[node]}", x, y, radius + 2, round(float(strokes.nodes[node]), 2)
                )
            )
    return Markup("").join([*parts, Markup("</svg>")])


def _line(a: Array, b: Array, style: str, width: float, opacity: float) -> Markup:
    """A line, or a small circle for a loop at a node."""
    given = (style, round(width, 1), round(opacity, 2))
    if np.array_equal(a, b):
        return Markup('<circle class="loop {}" stroke-width="{}" stroke-opacity="{}" cx="{}" cy="{}" r="6"/>').format(
            *given, float(a[0]), float(a[1]) - 6
        )
    return Markup('<line class="{}" stroke-width="{}" stroke-opacity="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        *given, *a.tolist(), *b.tolist()
    )


@common_style
def drawing(gallery: Gallery, instance: Instance) -> Figure:
    """One sample: the graph with its truth and with every map, for files."""
    shape = instance.graph
    assert shape is not None
    cut = _without_padding(instance, shape, gallery.features)
    places = positions(shape.src, shape.dst, shape.n_nodes, shape.target)
    rows = graph_pictures(gallery, instance)
    across = min(5, len(rows))
    down = -(-len(rows) // across)
    figure = Figure(figsize=(1.9 * across, 2.2 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    colours = {"for": "#b2182b", "against": "#2166ac", "unsigned": "#54278f", "none": "#c4c8cc"}
    for axis, picture, one in zip(axes, rows, (None, *cut.maps), strict=False):
        strokes = _of_map(one, shape, cut.truth, gallery.features)
        for e in np.argsort(strokes.edges, kind="stable").tolist():
            if strokes.shown[e]:
                ends = places[[shape.src[e], shape.dst[e]]]
                if _is_mask(cut.truth) and gallery.features == "edges" and cut.truth is not None and cut.truth[e]:
                    axis.plot(ends[:, 0], ends[:, 1], color="#f0d58a", linewidth=4, zorder=1)
                axis.plot(ends[:, 0], ends[:, 1], color="#c4c8cc", linewidth=0.5, zorder=2)
                strength = float(strokes.edges[e])
                colour = colours[strokes.edge_classes[e]]
                axis.plot(ends[:, 0], ends[:, 1], color=colour, linewidth=2.2 * strength, alpha=strength, zorder=3)
        shade = [
            colours[c] if s > 0.02 else "#ffffff" for c, s in zip(strokes.node_classes, strokes.nodes, strict=True)
        ]
        axis.scatter(places[:, 0], places[:, 1], s=10, c=shade, edgecolors="#5c646d", linewidths=0.6, zorder=4)
        axis.set_title(f"{short(picture.title, 24)}\n{short(picture.below, 34)}", fontsize=5.5)
    for axis in axes:
        axis.set_axis_off()
        axis.margins(0.08)
    return figure
