"""Models that were trained again on inputs with gaps, so that removal is nothing new to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.predictor import Predictor
from xaibench.core.retraining import retraining_seed, variant
from xaibench.core.types import Array
from xaibench.metrics.engines.explained_rows import retraining_of, rows_of

Gaps = Callable[[int, np.random.Generator], Array]
"""Called with (number of rows, generator); gives what is removed of each: (n, *feature_shape) of bool."""
MAX_TEST = 1000
"""Test rows that the accuracies are measured on."""


def trained_with_gaps(ev: Evaluation, name: str, gaps: Gaps, *, min_kept: float, max_lost: float) -> Predictor:
    """The recipe of the model, fitted to training rows in which gaps are filled with zeros; one for all explainers.

    Parameters
    ----------
    ev : Evaluation
    name : str
        Of the metric and the parameters that the gaps depend on; equal names share a model.
    gaps : callable
    min_kept : float
        Share of its accuracy that the model must keep on test rows with gaps.
    max_lost : float
        Accuracy on whole test rows that training with gaps may cost.

    Raises
    ------
    UnsupportedError
        If the model cannot be fitted again, is not a classifier, or keeps too little or loses too much accuracy. The
        message says what was measured.
    """
    ev.layout.require_quantities("a gap that is filled with zeros")
    ev.layout.require_no_categories("a gap that is filled with zeros")
    retraining = retraining_of(ev)
    data = retraining.data
    rng = np.random.default_rng(retraining_seed("gaps", name, ev.seed))
    train = without(ev, data.train_inputs, gaps(len(data.train_inputs), rng))
    model = retraining.fit(variant(data, train_inputs=train), retraining_seed("with gaps", name, ev.seed))
    rows = rows_of(ev, "test", MAX_TEST)
    holed = torch.from_numpy(without(ev, rows.inputs.cpu().numpy(), gaps(len(rows), rng))).to(rows.inputs)
    other = replace(rows, model=model)
    first, clean, kept = (
        float((raw.argmax(dim=1) == rows.targets).double().mean())
        for raw in (rows.predict(rows.inputs), other.predict(rows.inputs), other.predict(holed))
    )
    if clean < first - max_lost or kept < min_kept * clean:
        raise UnsupportedError(
            f"trained with gaps, the model has an accuracy of {clean:.3f}, and of {kept:.3f} on rows with gaps; "
            f"that of the first model is {first:.3f}",
            f"it may lose {max_lost:g}, and must keep {min_kept:g} of it with gaps; more epochs of the recipe help",
        )
    return model


def without(ev: Evaluation, inputs: Array, gaps: Array) -> Array:
    """Inputs (n, *input_shape) with zeros where features (n, *feature_shape) are removed."""
    kept = ev.layout.expand(torch.from_numpy(~gaps)).numpy()
    found: Array = np.where(kept, inputs, np.float32(0))
    return found
