"""Assembly of a problem from its data and its fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch

from xaibench.core.additive import TRUTH_BASELINES, KnowsTerms, exact_contributions
from xaibench.core.axes import check_convolution
from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.features import GRAPH_KINDS, FeatureLayout
from xaibench.core.findings import CachedFindings
from xaibench.core.gates import Findings
from xaibench.core.graphs import graph_digests, graph_sizes
from xaibench.core.keys import KEY_VERSION, digest, sample_digests
from xaibench.core.outputs import default_output, is_of_one_column
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor
from xaibench.core.problem import Problem, Samples
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.raw_rows import RawRows
from xaibench.core.retraining import Retraining
from xaibench.core.samples_of_labels import samples_of_labels
from xaibench.core.targets import LABEL, SampleTargets, choose_targets
from xaibench.core.tokens import text_sizes, text_widths
from xaibench.core.truth import Truth, TruthKind
from xaibench.core.types import Array
from xaibench.models.exact_contributions import contributions_of_module
from xaibench.models.graph_edges import check_edges
from xaibench.models.linear import truth_weights
from xaibench.models.obtain import FittedModel
from xaibench.problems.specs import ProblemSpec


def assemble(
    spec: ProblemSpec,
    data: Data,
    fitted: FittedModel,
    predictor: Predictor,
    retraining: Retraining,
    findings: CachedFindings,
) -> Problem:
    """Put a problem together from its data and its fitted model."""
    layout = data.layout
    if not data.has_ids:
        check_convolution(predictor.module, data.input_shape, data.features, data.axes or None)
    n = min(spec.samples, len(data.test_inputs))
    inputs = torch.from_numpy(data.test_inputs[:n]).to(predictor.device)
    context = _tensors(data.test_context, slice(0, n), predictor.device)
    asked = _targets(spec, data, predictor, n)
    targets = asked.columns
    reference, reference_labels, reference_context = _background(data, spec.background)
    output = spec.output or default_output(predictor.returns, contrastive=asked.foils is not None)
    facts = predictor.facts
    provides = fitted.provides - set(facts.lacking if facts else ())
    recipe = spec.recipe
    capabilities = spec.offered(provides)
    mask, distractors = (
        None if a is None else torch.from_numpy(a[:n]).to(predictor.device)
        for a in (data.test_mask, data.test_distractors)
    )
    weights = None
    if "truth.weights" in capabilities and predictor.module is not None and not data.has_ids:
        weights = _weights(spec, predictor.module, inputs, asked, layout)
    signs = None if data.test_signs is None else torch.from_numpy(data.test_signs[:n]).to(predictor.device)
    known_exactly = "truth.contributions" in capabilities
    contributions = None
    if known_exactly and predictor.module is not None and not isinstance(fitted.model, KnowsTerms):
        contributions = {"zero": contributions_of_module(predictor.module, inputs, targets, context, layout)}
    kind = cast(TruthKind, data.truth_kind)
    said = any(t is not None for t in (mask, distractors, signs))
    truth: Truth | None = Truth(kind if said else "model", mask, weights, distractors, contributions, signs)
    if not said and weights is None and contributions is None:
        truth = None
    found = measure_gates(data, predictor, fitted.accuracy, findings.measure)
    around = _tensors(reference_context, slice(None), predictor.device)
    has_sizes = data.has_ids or data.features in GRAPH_KINDS
    samples = Samples(
        predictor,
        inputs,
        targets,
        layout,
        output,
        _digests(data, n),
        None if has_sizes else torch.from_numpy(reference).to(predictor.device),
        labels=torch.from_numpy(data.test_targets[:n]).to(predictor.device),
        background_labels=None if reference_labels is None or has_sizes else torch.from_numpy(reference_labels),
        context=context,
        background_context={} if has_sizes else around,
        problem=spec.name,
        feature_names=tuple(map(str, data.group_names if data.feature_groups else data.feature_names)),
    )
    if asked.foils is not None:
        samples = replace(samples, foils=asked.foils)
    if has_sizes:
        given = ((data.test_inputs[:n], data.test_context), (reference, reference_context))
        sizes, reference_sizes = (_sizes(data, rows, beside, len(rows)).to(predictor.device) for rows, beside in given)
        rows = torch.from_numpy(reference).to(predictor.device)
        samples = replace(samples, sizes=sizes, references=RawRows(rows, reference_sizes, layout, around))
    check_edges(samples)
    if known_exactly and (of_terms := _contributions(fitted.model, samples)) is not None:
        truth = Truth("model") if truth is None else truth
        truth = replace(truth, contributions=of_terms)
    pairs = _pairs(data, found, retraining, spec.seed, n, predictor.device)
    if asked.rows is not None:
        samples, truth = samples_of_labels(samples, truth, asked, data.class_names)
        pairs = {}
    return Problem(
        dataset=spec.dataset.label,
        model=spec.model.label,
        samples=samples,
        fingerprint=_fingerprint(spec, data, fitted.fingerprint),
        capabilities=capabilities,
        truth=truth,
        gates=found.gates,
        retraining=retraining,
        pairs=pairs,
        info={"model": facts.to_json()} if facts else {},
        lacking={**recipe.lacking, **(facts.lacking if facts else {})},
    )


def _targets(spec: ProblemSpec, data: Data, predictor: Predictor, n: int) -> SampleTargets:
    """What is explained of the first ``n`` test samples."""
    few = slice(0, 1 if spec.target == LABEL else n)
    own = {name: values[few] for name, values in data.test_context.items()}
    labels = None if data.test_labels is None else torch.from_numpy(data.test_labels[:n]).to(predictor.device)
    return choose_targets(
        spec.target,
        predict_raw(predictor, data.test_inputs[few], own),
        predictor.returns,
        names=data.class_names,
        classes=torch.from_numpy(data.test_targets[:n]).to(predictor.device),
        labels=labels,
    )


def _weights(
    spec: ProblemSpec, module: torch.nn.Module, inputs: torch.Tensor, asked: SampleTargets, layout: FeatureLayout
) -> torch.Tensor:
    """Slopes (N, *feature_shape) of what is explained of a linear model: of a contrast their difference."""

    def slopes(columns: torch.Tensor) -> torch.Tensor:
        if not is_of_one_column(spec.returns):
            return truth_weights(module, inputs, columns, layout)
        own = truth_weights(module, inputs, torch.zeros_like(columns), layout)
        halves = torch.where(columns == 1, 0.5, -0.5).view(-1, *[1] * (own.ndim - 1))
        return own * halves.to(own)

    found = slopes(asked.columns)
    return found if asked.foils is None else found - slopes(asked.foils)


def _contributions(model: object, samples: Samples) -> dict[str, torch.Tensor] | None:
    """By baseline: contributions (N, *feature_shape) to what is explained of an additive model of two classes.

    Baselines are what the maskers of these names put in the place of all features, so that an explainer with the same
    masker is asked the same question; in a block of categories that is the most frequent one.
    """
    if not isinstance(model, KnowsTerms) or samples.background is None:
        return None
    # Outputs are minus and plus half of the log odds; their contrast is all of it.
    sign = (2 * samples.targets.cpu().double() - 1) * (0.5 if samples.foils is None else 1.0)
    rows = samples.inputs.cpu().numpy()
    found: dict[str, torch.Tensor] = {}
    for name in TRUTH_BASELINES:
        filled = samples.background if name == "marginal" else samples.reference(name)[:1]
        odds = torch.from_numpy(exact_contributions(model, rows, filled.cpu().numpy())) * sign[:, None]
        found[name] = samples.layout.reduce(odds).to(device=samples.inputs.device, dtype=samples.inputs.dtype)
    return found


def _background(data: Data, size: int) -> tuple[Array, Array | None, dict[str, Array]]:
    """At most ``size`` reference rows, evenly spaced, their labels where they are known, and their context."""
    rows, labels, context = data.background, data.background_targets, data.background_context
    if rows is None:
        rows, labels, context = data.train_inputs, data.train_targets, data.train_context
    chosen = np.unique(np.linspace(0, len(rows) - 1, size).astype(int))
    beside = {name: values[chosen] for name, values in context.items()}
    return rows[chosen], None if labels is None else labels[chosen], beside


def _sizes(data: Data, rows: Array, context: Mapping[str, Array], n: int) -> torch.Tensor:
    """Features along the first axis of each of ``n`` texts or graphs (n,), int64."""
    if data.has_ids:
        return torch.from_numpy(text_sizes(rows))
    sizes, _ = graph_sizes(data.features, rows, {name: values[:n] for name, values in context.items()})
    return torch.from_numpy(sizes)


def _digests(data: Data, n: int) -> tuple[bytes, ...]:
    """Identity of the first ``n`` test samples: their raw rows, texts without what is behind their end, and context."""
    context = {name: values[:n] for name, values in data.test_context.items()}
    if data.test_rows is not None:
        return sample_digests(data.test_rows[:n], context)
    rows = data.test_inputs[:n]
    if data.features in GRAPH_KINDS:
        return graph_digests(data.features, rows, context)
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
    more = [code] if code else []
    # Removal curves of values are standardised since; no stored result of a data set of this package has one.
    more += ["standardised curves"] if data.n_values and spec.dataset.spec.code_digest is not None else []
    return digest(KEY_VERSION, data.fingerprint, weights, recipe, spec.selection, *more)
