"""Explanations of the training and test data, for metrics that retrain or compare over a population."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from xaibench.core.copy_blocks import chunks
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.groups import predict_groups
from xaibench.core.keys import sample_digests
from xaibench.core.outputs import require_classes
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.retraining import Retraining, require_retraining
from xaibench.core.tokens import text_sizes, text_widths
from xaibench.core.truth import Truth, TruthKind

Split = Literal["train", "test"]
Targets = Literal["predicted", "label"]
_BLOCK = 256
"""Rows that are explained at a time."""


def retraining_of(ev: Evaluation) -> Retraining:
    """What fits the models of an evaluation again.

    Raises
    ------
    UnsupportedError
        If nothing does, or the model is not a classifier: what is measured is accuracy.
    """
    require_classes(ev.model.returns, "metrics that retrain measure accuracy")
    ev.refuse_foils("metrics that retrain explain other rows, which have none")
    return require_retraining(ev.retraining)


def chosen_rows(n: int, limit: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """At most ``limit`` of n rows, evenly spaced, so that data sorted by class keep all classes."""
    return np.unique(np.linspace(0, n - 1, limit).astype(np.int64))


def rows_of(ev: Evaluation, split: Split, limit: int) -> ProblemView:
    """Rows of the data set as samples of their own: digests of the raw rows, labels as targets, masks as truth."""
    data = retraining_of(ev).data
    inputs, targets = (
        (data.train_inputs, data.train_targets) if split == "train" else (data.test_inputs, data.test_targets)
    )
    mask = data.train_mask if split == "train" else data.test_mask
    raw = data.test_rows if split == "test" and data.test_rows is not None else inputs
    given = data.train_context if split == "train" else data.test_context
    rows = chosen_rows(len(inputs), limit)
    where = ev.inputs.device
    beside = {name: values[rows] for name, values in given.items()}
    ids = raw[rows].astype(np.int64) if data.has_ids else raw[rows]
    lengths = None if not data.has_ids else text_sizes(ids)
    pieces = None if not data.has_ids else text_widths(ids)
    kind: TruthKind = data.truth_kind  # type: ignore[assignment]
    return ProblemView(
        ev.model,
        torch.from_numpy(inputs[rows]).to(where, ev.inputs.dtype),
        torch.from_numpy(targets[rows]).to(where),
        ev.layout,
        ev.output,
        sample_digests(ids, beside, lengths, pieces),
        ev.background,
        ev.seed,
        context={name: torch.from_numpy(values).to(where) for name, values in beside.items()},
        background_context=ev.background_context,
        sizes=None if lengths is None else torch.from_numpy(lengths).to(where),
        references=ev.references,
        truth=None if mask is None else Truth(kind, torch.from_numpy(mask[rows]).to(where)),
    )


def _classes(view: ProblemView) -> Tensor:
    """The class (n,) that the model predicts for each of these rows."""
    if view.sizes is None:
        return view.predict(view.inputs).argmax(dim=1)
    return predict_groups(view.model, view.inputs, view.sizes, view.layout, view.context or None).argmax(dim=1)


def explain_rows(ev: Evaluation, view: ProblemView, model: Predictor | None = None) -> Tensor:
    """Attributions of samples (n, *feature_shape), by the explainer of ``ev``, block by block."""
    blocks = map(view.take, chunks(len(view), _BLOCK))
    return torch.cat([ev.explain(ExplainRequest(model=model, samples=block)) for block in blocks])


def explained(ev: Evaluation, split: Split, limit: int, targets: Targets) -> Evaluation:
    """Rows of the data set with their attributions, which are made once per explanation.

    Where the model predicts the label, both targets have the same explanation.
    """

    def make() -> Evaluation:
        view = rows_of(ev, split, limit)
        if targets == "predicted":
            view = replace(view, targets=_classes(view))
            return Evaluation.of(view, attributions=explain_rows(ev, view), kind=ev.kind, truth=view.truth)
        predicted = explained(ev, split, limit, "predicted")
        wrong = (predicted.targets != view.targets).nonzero().squeeze(1)
        maps = predicted.attributions
        if len(wrong):
            maps = maps.index_copy(0, wrong, explain_rows(ev, view.take(wrong)))
        return Evaluation.of(view, attributions=maps, kind=ev.kind, truth=view.truth)

    found: Evaluation = ev.reuse(f"explained/{split}/{limit}/{targets}/{ev.output}", make)
    return found
