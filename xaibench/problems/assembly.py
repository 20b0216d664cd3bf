"""Assembly of a problem from its data and its fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch

from xaibench.core.axes import check_convolution
from xaibench.core.checks import measure_gates
from xaibench.core.components import DatasetSpec
from xaibench.core.data import Data
from xaibench.core.features import infer_layout, raw_layout
from xaibench.core.findings import CachedFindings
from xaibench.core.gates import Findings
from xaibench.core.keys import KEY_VERSION, digest, sample_digests
from xaibench.core.outputs import default_output
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor
from xaibench.core.problem import Problem, RawRows, Samples
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.retraining import Retraining
from xaibench.core.tokens import text_sizes, text_widths
from xaibench.core.truth import Truth, TruthKind
from xaibench.core.types import Array
from xaibench.models.linear import truth_weights
from xaibench.models.obtain import FittedModel
from xaibench.problems.specs import ProblemSpec, _capabilities


def assemble(
    spec: ProblemSpec,
    data: Data,
    fitted: FittedModel,
    predictor: Predictor,
    retraining: Retraining,
    findings: CachedFindings,
) -> Problem:
    """Put a problem together from its data and its fitted model."""
    layout = raw_layout(data.input_shape)
    if not data.has_ids:
        layout = infer_layout(data.input_shape, data.features, data.axes or None)
        check_convolution(predictor.module, data.input_shape, data.features, data.axes or None)
    n = min(spec.samples, len(data.test_inputs))
    inputs = torch.from_numpy(data.test_inputs[:n]).to(predictor.device)
    context = _tensors(data.test_context, slice(0, n), predictor.device)
    if spec.target == "predicted":
        own = {name: values[:n] for name, values in data.test_context.items()}
        targets = predict_raw(predictor, data.test_inputs[:n], own).argmax(dim=1)
    else:
        targets = torch.from_numpy(data.test_targets[:n]).to(predictor.device)
    reference, reference_labels, reference_context = _background(data, spec.background)
    output = spec.output or default_output(predictor.returns)
    facts = predictor.facts
    provides = fitted.provides - set(facts.lacking if facts else ())
    capabilities = _capabilities(cast(DatasetSpec, spec.dataset.spec), provides, spec.output)
    mask, distractors = (
        None if a is None else torch.from_numpy(a[:n]).to(predictor.device)
        for a in (data.test_mask, data.test_distractors)
    )
    weights = None
    if "truth.weights" in capabilities and predictor.module is not None and not data.has_ids:
        weights = truth_weights(predictor.module, inputs, targets, layout)
    truth = None
    kind = cast(TruthKind, data.truth_kind)
    if mask is not None or weights is not None or distractors is not None:
        about_weights_only = mask is None and distractors is None
        truth = Truth("model" if about_weights_only else kind, mask, weights, distractors)
    found = measure_gates(data, predictor, fitted.accuracy, findings.measure)
    around = _tensors(reference_context, slice(None), predictor.device)
    samples = Samples(
        predictor,
        inputs,
        targets,
        layout,
        output,
        _digests(data, n),
        None if data.has_ids else torch.from_numpy(reference).to(predictor.device),
        labels=torch.from_numpy(data.test_targets[:n]).to(predictor.device),
        background_labels=None if reference_labels is None or data.has_ids else torch.from_numpy(reference_labels),
        context=context,
        background_context={} if data.has_ids else around,
    )
    if data.has_ids:
        sizes, reference_sizes = (
            torch.from_numpy(text_sizes(ids)).to(predictor.device) for ids in (data.test_inputs[:n], reference)
        )
        rows = torch.from_numpy(reference).to(predictor.device)
        samples = replace(samples, sizes=sizes, references=RawRows(rows, reference_sizes, layout, around))
    return Problem(
        dataset=spec.dataset.label,
        model=spec.model.label,
        samples=samples,
        fingerprint=_fingerprint(spec, data, fitted.fingerprint),
        capabilities=capabilities,
        truth=truth,
        gates=found.gates,
        retraining=retraining,
        pairs=_pairs(data, found, retraining, spec.seed, n, predictor.device),
        info={"model": facts.to_json()} if facts else {},
        lacking=facts.lacking if facts else {},
    )


def _background(data: Data, size: int) -> tuple[Array, Array | None, dict[str, Array]]:
    """At most ``size`` reference rows, evenly spaced, their labels where they are known, and their context."""
    rows, labels, context = data.background, data.background_targets, data.background_context
    if rows is None:
        rows, labels, context = data.train_inputs, data.train_targets, data.train_context
    chosen = np.unique(np.linspace(0, len(rows) - 1, size).astype(int))
    beside = {name: values[chosen] for name, values in context.items()}
    return rows[chosen], None if labels is None else labels[chosen], beside


def _digests(data: Data, n: int) -> tuple[bytes, ...]:
    """Identity of the first ``n`` test samples: their raw rows, texts without what is behind their end, and context."""
    context = {name: values[:n] for name, values in data.test_context.items()}
    if data.test_rows is not None:
        return sample_digests(data.test_rows[:n], context)
    rows = data.test_inputs[:n]
    if not data.has_ids:
        return sample_digests(rows, context)
    return sample_digests(rows.astype(np.int64), context, text_sizes(rows), text_widths(rows))


def _tensors(context: Mapping[str, Array], rows: slice, device: torch.device) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values[rows]).to(device) for name, values in context.items()}


def _pairs(
    data: Data, found: Findings, retraining: Retraining, seed: int, n: int, device: torch.device
) -> dict[str, tuple[Pair, ...]]:
    """The selected samples seen otherwise, by the need that this meets."""
    pairs: dict[str, tuple[Pair, ...]] = {}

    def selected(rows: Array | None) -> torch.Tensor | None:
        return None if rows is None else torch.from_numpy(rows[:n]).to(device)

    for source in data.pairs:
        other = None if source.data is None else partial(_fitted_to, source.data, retraining, seed)
        truth = selected(source.truth)
        about = None
        if truth is not None:
            kind = cast(TruthKind, data.truth_kind)
            about = Truth(kind, mask=truth) if truth.dtype == torch.bool else Truth(kind, weights=truth)
        pair = Pair(other, selected(source.inputs), selected(source.labels), source.level, about)
        pairs[source.need] = (*pairs.get(source.need, ()), pair)
    for need, rows in found.inputs.items():
        pairs[need] = (Pair(inputs=selected(rows)),)
    return pairs


def _fitted_to(load: Callable[[], Data], retraining: Retraining, seed: int) -> Predictor:
    return retraining.fit(load(), seed)


def _fingerprint(spec: ProblemSpec, data: Data, weights: str) -> str:
    """Content of a problem: data, weights, sample selection, and which recipe made the model.

    Equal weights can belong to different models (another activation, a changed forward pass), so
    the recipe's name, parameters and version are part of it, and the source of one that a user wrote;
    that of a user's data set too where it brings code along, in checks and pairs.
    """
    model = spec.model.spec
    recipe = [spec.model.identity, model.version, model.code_digest]
    code = spec.dataset.spec.code_digest if data.checks or data.pairs else None
    return digest(KEY_VERSION, data.fingerprint, weights, recipe, spec.selection, *([code] if code else []))
