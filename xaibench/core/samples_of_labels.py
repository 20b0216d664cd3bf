"""Rows with several labels as samples: one for every label that is explained of a row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from xaibench.core.context import context_rows
from xaibench.core.problem import ProblemView, Samples
from xaibench.core.targets import SampleTargets
from xaibench.core.truth import Truth

LEAST = 1e-12
"""Scores below this count as this before the logarithm is taken, as on leaderboards."""
AnySamples = TypeVar("AnySamples", bound=Samples)


def samples_of_labels(
    samples: AnySamples, truth: Truth | None, asked: SampleTargets, names: Sequence[str] = ()
) -> tuple[AnySamples, Truth | None]:
    """The samples and their truth with a sample for every target, each knowing the row that it is of.

    Random draws are keyed by the row and by the name of the label (its number without names), so that a sample has the
    same draws whatever other labels there are.

    Parameters
    ----------
    samples : Samples
        The rows, N of them.
    truth : Truth or None
        What is true of the rows.
    asked : SampleTargets
        M targets and the rows that they are of.
    names : sequence of str
        Of the columns.

    Returns
    -------
    Samples, Truth or None
        M of them.
    """
    if asked.rows is None:
        return samples, truth
    chosen, rows = asked.rows.tolist(), asked.rows
    words = [names[column] if names else str(column) for column in asked.columns.tolist()]
    found = replace(
        samples,
        inputs=samples.inputs[rows],
        targets=asked.columns,
        foils=asked.foils,
        digests=tuple(_digest(samples.digests[row], word) for row, word in zip(chosen, words, strict=True)),
        clusters=tuple(samples.digests[row] for row in chosen),
        labels=None if samples.labels is None else samples.labels[rows],
        context=context_rows(samples.context, rows),
        sizes=None if samples.sizes is None else samples.sizes[rows],
    )
    own = None if truth is None else truth[rows]
    if isinstance(found, ProblemView):
        found = replace(found, truth=own)
    return found, own


def cluster_means(scores: Tensor, clusters: Sequence[bytes], *, log10: bool) -> tuple[Tensor, tuple[bytes, ...]]:
    """One score per row, from those of its samples (M,) that are not NaN: their mean, or that of their logarithms.

    Returns
    -------
    Tensor (N,), tuple of bytes
        NaN where none of the samples has a score; the rows, in the order in which they come first.
    """
    first = {row: i for i, row in reversed(list(enumerate(clusters)))}
    rows = tuple(sorted(first, key=first.__getitem__))
    found = scores.new_empty(len(rows))
    for number, row in enumerate(rows):
        own = scores[[i for i, other in enumerate(clusters) if other == row]]
        found[number] = own.clamp(min=LEAST).log().nanmean().exp() if log10 else own.nanmean()
    return found, rows


def _digest(row: bytes, label: str) -> bytes:
    return hashlib.blake2b(row + f"label {label}".encode(), digest_size=16).digest()
