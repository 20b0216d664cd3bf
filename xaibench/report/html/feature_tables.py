"""Samples with their features in a line, as a table for the page: a row per explanation, a column per feature."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from xaibench.core.types import Array
from xaibench.report.html.content import Gallery, Instance
from xaibench.report.html.pictures import is_signed, pictures

MAX_FEATURES = 60
"""More features than that are shown as a picture without names."""
STEPS = 8
"""Shades from 0 to the largest value."""


@dataclass(frozen=True)
class FeatureRow:
    """A row of shades: ``classes`` is one style class per feature, ``alt`` says in words what the row shows."""

    title: str
    below: str
    alt: str
    classes: list[str]


def feature_rows(gallery: Gallery, instance: Instance) -> list[FeatureRow]:
    """Input, truth and maps of a sample, each with a shade per feature."""
    found = pictures(gallery, instance)
    truth = [] if instance.truth is None else [_truth_shades(instance.truth)]
    maps = [shades(m.values, signed=is_signed(m.values, m.kind)) for m in instance.maps]
    rows = [_greys(instance.inputs), *truth, *maps]
    return [FeatureRow(p.title, p.below, p.alt, classes) for p, classes in zip(found, rows, strict=True)]


@dataclass(frozen=True)
class WordRow:
    """A text as one explanation sees it: ``words`` are pairs of a style class and a word."""

    title: str
    below: str
    alt: str
    words: list[tuple[str, str]]


def word_rows(gallery: Gallery, instance: Instance) -> list[WordRow]:
    """The text of a sample, tinted by its truth and by every map; see `shades`."""
    n = len(instance.words)
    truth = None if instance.truth is None else instance.truth.ravel()[:n]
    cut = replace(
        instance,
        truth=truth,
        inputs=np.zeros(n),
        maps=tuple(replace(m, values=m.values.ravel()[:n]) for m in instance.maps),
    )
    found = pictures(gallery, cut)[1:]
    classes = [] if truth is None else [_truth_shades(truth)]
    classes += [shades(m.values, signed=is_signed(m.values, m.kind)) for m in cut.maps]
    return [
        WordRow(p.title, p.below, p.alt, list(zip(row, instance.words, strict=True)))
        for p, row in zip(found, classes, strict=True)
    ]


def feature_names(gallery: Gallery) -> list[str]:
    """Names of the features, or their numbers; empty where there are more than `MAX_FEATURES`."""
    n = gallery.instances[0].inputs.size
    if n > MAX_FEATURES or any(m.values.size != n for i in gallery.instances for m in i.maps):
        return []
    return list(gallery.feature_names) if len(gallery.feature_names) == n else [str(i + 1) for i in range(n)]


def shades(values: Array, *, signed: bool, centre: float = 0.0, reach: float | None = None) -> list[str]:
    """Style classes of numbers: ``p0`` to ``p8`` from the centre up, ``m1`` to ``m8`` below; unsigned ``u0`` to ``u8``.

    Parameters
    ----------
    values : array
        Taken in their order, whatever the shape; not finite is ``nf``.
    signed : bool
        Whether the centre is in the middle of the scale.
    centre : float
        Value without colour.
    reach : float, optional
        Distance from the centre with the strongest colour; by default the largest one of the values.
    """
    flat = np.asarray(values, dtype=np.float64).ravel() - centre
    finite = np.isfinite(flat)
    if reach is None:
        reach = float(np.abs(flat[finite]).max()) if finite.any() else 0.0
        if finite.all() and len(flat) > 1 and np.ptp(flat) == 0:
            return ["same"] * len(flat)
    found = []
    for value, known in zip(flat.tolist(), finite.tolist(), strict=True):
        if not known:
            found.append("nf")
            continue
        step = min(round(STEPS * abs(value) / reach), STEPS) if reach else 0
        found.append(f"{'m' if value < 0 and step else 'p'}{step}" if signed else f"u{step}")
    return found


def _truth_shades(truth: Array) -> list[str]:
    if truth.dtype == np.bool_:
        return ["in" if inside else "out" for inside in truth.ravel().tolist()]
    return shades(truth, signed=True)


def _greys(values: Array) -> list[str]:
    """Inputs from the smallest to the largest one."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    low, high = float(flat.min()), float(flat.max())
    return [f"g{round(STEPS * (v - low) / ((high - low) or 1.0))}" for v in flat.tolist()]
