"""Samples of different sizes, cut into groups of equal size: the one place where that is done.

No explainer and no metric sees padding: each group is explained and scored as dense samples of its own size,
encoded for the model. Draws are keyed by sample, so a group draws what each of its samples draws alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from xaibench.core.context import Context, Encoded, context_rows
from xaibench.core.features import GRAPH_KINDS, FeatureLayout, raw_layout
from xaibench.core.graphs import cut_graphs, graph_sizes
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView, Samples
from xaibench.core.raw_rows import RawRows
from xaibench.core.tokens import NO_TOKEN
from xaibench.core.truth import Truth

S = TypeVar("S", bound=Samples)


@dataclass(frozen=True)
class Group:
    """Samples of one size.

    Attributes
    ----------
    size : int
        Features along the first axis.
    rows : Tensor (G,) of int64
        Which samples these are.
    width : int or None
        Of words of several pieces: most pieces of a word of these texts, so that what is drawn for a text
        does not depend on the words of others.
    other : int or None
        Of graphs: nodes of each where edges are features, else edges.
    """

    size: int
    rows: Tensor
    width: int | None = None
    other: int | None = None

    @property
    def key(self) -> int | tuple[int, int]:
        """What all samples of the group have in common, and those of no other group."""
        beside = self.width if self.other is None else self.other
        return self.size if beside is None else (self.size, beside)

    def context_of(self, context: Context | None, layout: FeatureLayout) -> dict[str, Tensor]:
        """Their context among that of all samples; of graphs without edges and nodes that none of them has."""
        own = context_rows(context, self.rows)
        return own if self.other is None else cut_graphs(own, layout.kind, self.size, self.other)

    def of(self, raw: Tensor) -> Tensor:
        """Their raw rows (G, L, ...) among those of all samples, without pieces that none of them has."""
        found = raw[self.rows]
        return found if self.width is None else found[:, :, : self.width]


def groups(sizes: Tensor, widths: Tensor | None = None, others: Tensor | None = None) -> Iterator[Group]:
    """The groups of samples with these sizes (N,), the smallest first.

    Parameters
    ----------
    sizes : Tensor (N,)
    widths : Tensor (N,), optional
        Where words have pieces; see `Group.width`.
    others : Tensor (N,), optional
        Of graphs; see `Group.other`.
    """
    beside = widths if others is None else others
    if beside is None:
        for size in sorted(set(sizes.tolist())):
            yield Group(size, (sizes == size).nonzero().squeeze(1))
        return
    for size, n in sorted(set(zip(sizes.tolist(), beside.tolist(), strict=True))):
        rows = ((sizes == size) & (beside == n)).nonzero().squeeze(1)
        yield Group(size, rows, n) if others is None else Group(size, rows, None, n)


def others_of(layout: FeatureLayout, raw: Tensor, context: Context | None) -> Tensor | None:
    """Nodes of each graph (N,) where edges are features, else edges; None for all other data."""
    if layout.kind not in GRAPH_KINDS:
        return None
    found: Tensor = graph_sizes(layout.kind, raw, context or {})[1]
    return found


def widths_of(model: Predictor, raw: Tensor) -> Tensor | None:
    """Most pieces of a word (N,) of texts as pieces of words (N, W, P); None for all other raw rows."""
    if not model.encodes_ids or raw.ndim != 3:
        return None
    return (raw != NO_TOKEN).any(dim=1).sum(dim=1)


def lengths_of(raw: Tensor) -> Tensor:
    """Tokens, or words, of each text (N,) of ids (N, L) or pieces of words (N, W, P)."""
    present = raw != NO_TOKEN
    return (present if raw.ndim == 2 else present[..., 0]).sum(dim=1)


def encoded(model: Predictor, group: Group, raw: Tensor, layout: FeatureLayout) -> Encoded:
    """The samples of a group as the model takes them, from the raw rows (N, L, ...) of all."""
    own = group.of(raw)
    return model.encode(own, group.size, layout if group.width is None else raw_layout(tuple(own.shape[1:])))


def pool_of(model: Predictor, references: RawRows | None) -> Tensor | None:
    """What exists in the reference samples, encoded, one feature after the other; None for edges, which are all 1."""
    if references is None or len(references.values) == 0 or references.layout.kind == "edges":
        return None
    return model.encode_pool(references.values, references.sizes)


def cut(samples: S, group: Group, pool: Tensor | None) -> S:
    """The samples of a group, dense: encoded, with the first ``size`` entries of everything per feature."""
    rows = group.rows
    found = encoded(samples.model, group, samples.inputs, samples.layout)
    chosen = rows.tolist()
    own = replace(
        samples,
        inputs=found.inputs,
        targets=samples.targets[rows],
        layout=found.layout,
        digests=tuple(samples.digests[i] for i in chosen),
        foils=None if samples.foils is None else samples.foils[rows],
        clusters=None if samples.clusters is None else tuple(samples.clusters[i] for i in chosen),
        background=None,
        labels=None if samples.labels is None else samples.labels[rows],
        background_labels=None,
        context={**group.context_of(samples.context, samples.layout), **found.context},
        sizes=None,
        pool=pool,
    )
    if isinstance(own, ProblemView) and own.truth is not None:
        own = replace(own, truth=cut_truth(own.truth, group))
    return own


def cut_truth(truth: Truth, group: Group) -> Truth:
    """The truth of the samples of a group, without what is behind their end."""
    return truth[group.rows].mapped(lambda t: t[:, : group.size])


def explain_groups(view: ProblemView, explain: Callable[[ProblemView], Tensor]) -> Tensor:
    """Maps (N, *feature_shape of the raw rows) of samples of different sizes; 0 behind the end of a sample."""
    assert view.sizes is not None
    pool = pool_of(view.model, view.references)
    maps = torch.zeros(len(view), *view.layout.feature_shape, dtype=torch.float32, device=view.inputs.device)
    others = others_of(view.layout, view.inputs, view.context)
    for group in groups(view.sizes, widths_of(view.model, view.inputs), others):
        maps[group.rows, : group.size] = explain(cut(view, group, pool)).to(maps)
    return maps


def predict_groups(
    model: Predictor, raw: Tensor, sizes: Tensor, layout: FeatureLayout, context: Context | None = None
) -> Tensor:
    """Raw outputs (N, C) of raw rows of different sizes, each with its context."""
    out: Tensor | None = None
    for group in groups(sizes, widths_of(model, raw), others_of(layout, raw, context)):
        found = encoded(model, group, raw, layout)
        beside: Mapping[str, Tensor] = {**group.context_of(context, layout), **found.context}
        part = model.predict(found.inputs, beside or None)
        if out is None:
            out = part.new_empty(len(raw), part.shape[1])
        out[group.rows] = part
    assert out is not None
    return out
