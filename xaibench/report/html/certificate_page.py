"""The page of a certificate: curves against reliance, gates, and rows in which explainers hit or missed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from xaibench.core.types import Array
from xaibench.report.certificate import CertificateText, found_at, interval_text, small_share, threshold_text
from xaibench.report.html.page import TEMPLATES
from xaibench.report.html.pictures import Picture, grey, heat
from xaibench.report.labels import share

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 220.0, 150.0, 30.0, 24.0


@dataclass(frozen=True)
class ShownRow:
    """One explained row: what an explainer made of it.

    Attributes
    ----------
    explainer : str
    hit : bool
        Whether the plant was the largest unit.
    level, reliance, dominance : float
        Of the copy that was explained.
    features : tuple of (str, float, bool)
        Of a table: the largest features with their attributions, and whether they are the plant.
    pixels, attributions, mask : array (H, W) or None
        Of an image.
    kind : str
        Of the attributions.
    """

    explainer: str
    hit: bool
    level: float
    reliance: float
    dominance: float
    features: tuple[tuple[str, float, bool], ...] = ()
    pixels: Array | None = None
    attributions: Array | None = None
    mask: Array | None = None
    kind: str = "contribution"

    @property
    def pictures(self) -> list[Picture]:
        """The image with the plant, where the plant is, and the map."""
        if self.pixels is None or self.attributions is None or self.mask is None:
            return []
        colours, scale = heat(self.attributions, self.kind)
        word = "found" if self.hit else "missed"
        return [
            Picture("image", "with the plant", "The image with the plant", grey(self.pixels)),
            Picture("plant", "the plant", "Where the plant is", grey(self.mask.astype(float))),
            Picture(self.explainer, scale, f"Map of {self.explainer}; the plant is {word}", colours),
        ]

    @property
    def causal_bar(self) -> Markup:
        """How strongly the copy relies on the plant, as a bar from 0 to 1."""
        width = 100 * min(max(self.reliance, 0.0), 1.0)
        return Markup(
            '<svg class="panel" viewBox="0 0 100 8" aria-hidden="true" focusable="false">'
            '<line x1="0" y1="4" x2="100" y2="4" class="grid"/>'
            '<line x1="0" y1="4" x2="{:.1f}" y2="4" class="bar"/></svg>'
        ).format(width)


@dataclass(frozen=True)
class CertificateContent:
    """What the page shows.

    Attributes
    ----------
    text : CertificateText
    thresholds, copies : DataFrame
    curves : sequence of (str, array (P,), array (P,))
        Knots of every explainer's curve: reliance, and share found beyond the twin.
    failures : sequence of str
    rows : sequence of ShownRow
    suite : str
        The generated suite, as TOML.
    """

    text: CertificateText
    thresholds: pd.DataFrame
    copies: pd.DataFrame
    curves: Sequence[tuple[str, Array, Array]]
    failures: Sequence[str] = ()
    rows: Sequence[ShownRow] = field(default_factory=tuple)
    suite: str = ""


def curve_panel(reliance: Array, net: Array, points: Sequence[tuple[float, float]]) -> Markup:
    """A curve with a point per copy; the dashed line is one half."""

    def at(x: float, y: float) -> tuple[float, float]:
        low = min(0.0, float(reliance.min()))
        along = (x - low) / max(1.0 - low, 1e-9)
        return _LEFT + along * (_WIDTH - _LEFT - 8), 8 + (1 - min(max(y, -0.1), 1.0)) * (_HEIGHT - _BOTTOM - 8)

    half = [at(min(0.0, float(reliance.min())), 0.5), at(1.0, 0.5)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*p) for p in zip(reliance.tolist(), net.tolist(), strict=True)))
    dashed = " ".join(f"{x:.1f},{y:.1f}" for x, y in half)
    dots = [at(x, y) for x, y in points if not np.isnan(y)]
    base = _HEIGHT - _BOTTOM
    parts = [
        Markup('<svg class="panel" viewBox="0 0 {:g} {:g}" aria-hidden="true" focusable="false">').format(
            _WIDTH, _HEIGHT
        ),
        Markup('<line x1="{0:g}" y1="{1:g}" x2="{2:g}" y2="{1:g}" class="axis"/>').format(_LEFT, base, _WIDTH - 8),
        Markup('<polyline points="{}" class="beside d1"/>').format(dashed),
        Markup('<polyline points="{}" class="own"/>').format(line),
        *(Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" class="dot"/>').format(x, y) for x, y in dots),
        *(
            Markup('<text x="{:.1f}" y="{:.1f}" class="end">{}</text>').format(_LEFT - 4, at(0, y)[1] + 4, label)
            for y, label in ((0.0, "0"), (0.5, ".5"), (1.0, "1"))
        ),
        Markup('<text x="{:.1f}" y="{:.1f}">0</text>').format(at(0.0, 0)[0] - 3, _HEIGHT - 8),
        Markup('<text x="{:.1f}" y="{:.1f}" class="end">1</text>').format(_WIDTH - 5, _HEIGHT - 8),
        Markup("</svg>"),
    ]
    return Markup("").join(parts)


def certificate_page(content: CertificateContent) -> str:
    """The page, with its style inside; nothing is fetched and no script runs."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8").strip() + "\n"
    allowed = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{allowed}'; img-src data:; base-uri 'none'; form-action 'none'"
    found = found_at(content.copies)
    levels = [float(level) for level in found.columns]
    reliance = found.attrs["reliance"]
    table = [
        {
            "explainer": row["explainer"], "threshold": threshold_text(row), "interval": interval_text(row),
            "ties": row["tie_group"], "control": bool(row["control"]), "verdict": row["verdict"],
            "twin": small_share(row["found_on_twin"]),
            "found": [small_share(found[level].get(row["explainer"], np.nan)) for level in levels],
        }
        for _, row in content.thresholds.iterrows()
    ]  # fmt: skip
    panels = []
    for name, x, y in content.curves:
        own = content.copies[(content.copies["explainer"] == name) & content.copies["gates_passed"]]
        points = list(zip(own["reliance"].tolist(), own["net"].tolist(), strict=True))
        panels.append((name, curve_panel(x, y, points)))
    copies = content.copies.drop_duplicates(["level", "copy"])
    gates = [
        {
            "level": f"{row['level']:g}", "copy": row["copy"], "reliance": small_share(row["reliance"]),
            "dominance": f"{row['dominance']:.2f}", "clean": small_share(row["clean_accuracy"]),
            "passed": bool(row["gates_passed"]), "failed": row["failed"],
        }
        for _, row in copies.iterrows()
    ]  # fmt: skip
    return environment.get_template("certificate.html").render(
        policy=policy, css=Markup(css), content=content, table=table, panels=panels, gates=gates,
        heads=[share(reliance[level]) for level in levels],
    )  # fmt: skip
