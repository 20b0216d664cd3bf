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

from xaibench.core.context import Context, context_rows
from xaibench.core.features import FeatureLayout
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView, RawRows, Samples
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
    """

    size: int
    rows: Tensor


def groups(sizes: Tensor) -> Iterator[Group]:
    """The groups of samples with these sizes (N,), the smallest size first."""
    for size in sorted(set(sizes.tolist())):
        yield Group(size, (sizes == size).nonzero().squeeze(1))


def pool_of(model: Predictor, references: RawRows | None) -> Tensor | None:
    """What exists in the reference samples, encoded, one feature after the other."""
    if references is None or len(references.values) == 0:
        return None
    return model.encode_pool(references.values, references.sizes)


def cut(samples: S, group: Group, pool: Tensor | None) -> S:
    """The samples of a group, dense: encoded, with the first ``size`` entries of everything per feature."""
    rows, size = group.rows, group.size
    found = samples.model.encode(samples.inputs[rows], size, samples.layout)
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
        context={**context_rows(samples.context, rows), **found.context},
        sizes=None,
        pool=pool,
    )
    if isinstance(own, ProblemView) and own.truth is not None:
        own = replace(own, truth=cut_truth(own.truth, group))
    return own


def cut_truth(truth: Truth, group: Group) -> Truth:
    """The truth of the samples of a group, without what is behind their end."""
    truth = truth[group.rows]
    parts = (None if t is None else t[:, : group.size] for t in (truth.mask, truth.weights, truth.distractors))
    return Truth(truth.kind, *parts)


def explain_groups(view: ProblemView, explain: Callable[[ProblemView], Tensor]) -> Tensor:
    """Maps (N, *feature_shape of the raw rows) of samples of different sizes; 0 behind the end of a sample."""
    assert view.sizes is not None
    pool = pool_of(view.model, view.references)
    maps = torch.zeros(len(view), *view.layout.feature_shape, dtype=torch.float32, device=view.inputs.device)
    for group in groups(view.sizes):
        maps[group.rows, : group.size] = explain(cut(view, group, pool)).to(maps)
    return maps


def predict_groups(
    model: Predictor, raw: Tensor, sizes: Tensor, layout: FeatureLayout, context: Context | None = None
) -> Tensor:
    """Raw outputs (N, C) of raw rows of different sizes, each with its context."""
    out: Tensor | None = None
    for group in groups(sizes):
        found = model.encode(raw[group.rows], group.size, layout)
        beside: Mapping[str, Tensor] = {**context_rows(context, group.rows), **found.context}
        part = model.predict(found.inputs, beside or None)
        if out is None:
            out = part.new_empty(len(raw), part.shape[1])
        out[group.rows] = part
    assert out is not None
    return out
