"""Calling metrics: the one place where their contract is enforced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xaibench.core.components import MetricSpec, Scope, ScoreBounds
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import Explainer, ExplainFunction, check_masker, explain
from xaibench.core.groups import Group, cut, cut_truth, encoded, groups, lengths_of, others_of, pool_of, widths_of
from xaibench.core.outputs import STANDARDISED, check_output, curve_output
from xaibench.core.pairs import Pair
from xaibench.core.problem import ProblemView, Samples
from xaibench.core.storage.cache import MemoryCache

BOUNDS_TOLERANCE = 1e-5
"""How far a score may be outside of the bounds of its metric, for rounding."""


@dataclass(frozen=True)
class MeasuredScores:
    """Scores of one metric, with what was done to get them."""

    values: Tensor
    conversion: str
    output: str
    sign: str


def score(spec: MetricSpec, params: Mapping[str, Any], ev: Evaluation, *, output: str | None = None) -> MeasuredScores:
    """Score an explanation with a registered metric.

    Parameters
    ----------
    spec : MetricSpec
    params : mapping
        Bound parameters (see `Component.bind`).
    ev : Evaluation
    output : str, optional
        Measure this output, whatever the metric's rule.

    Returns
    -------
    MeasuredScores
        ``values`` float32, float64 where they are values that the model returns in it: (N,), one per sample, or for
        a metric of scope ``dataset`` (R,), one per resampling unit. NaN where the score is not defined: by the metric,
        because the attributions of the sample (of any sample, where the score is over the data set) are not finite, or
        because the result is infinite.

    Raises
    ------
    UnsupportedError
        If the metric does not take this kind of attributions, or the output is unavailable.
    UsageError
        If a score is outside the bounds that the metric declares for this output.
    ValueError
        If the metric returns anything but one number per sample, or per unit.
    """
    if ev.sizes is not None and not _takes_texts_as_a_whole(spec, params):
        return _score_groups(spec, params, ev, output)
    ev, finite, conversion = _ready(spec, params, ev, output)
    scope = spec.scope_of(params)
    values = spec.function(ev, **params)
    _check_shape(spec, scope, values, len(ev))
    values = values.detach().to(_score_type(spec, params, values, ev)).cpu()
    finite = finite.cpu() if scope == "sample" else finite.cpu().all()
    values = torch.where(torch.isfinite(values) & finite, values, torch.nan)
    _check_bounds(spec, scope, values, spec.bounds_of(params, ev.output), ev)
    return MeasuredScores(values, conversion, ev.output, spec.handled_sign(params))


def curve(spec: MetricSpec, params: Mapping[str, Any], ev: Evaluation, *, output: str | None = None) -> Tensor:
    """The curves behind a metric, for the explanation as the metric takes it.

    Parameters are those of `score`; the metric must have a curve.

    Returns
    -------
    Tensor (N, points), float32
        NaN for samples whose attributions are not finite.
    """
    if spec.curve is None:
        raise ValueError(f"metric {spec.name!r} has no curve")
    if ev.sizes is not None:
        parts = [(group.rows, curve(spec, params, own, output=output)) for group, own in _groups(ev)]
        return torch.cat([part for _, part in parts])[torch.cat([rows for rows, _ in parts]).argsort().cpu()]
    ev, finite, _ = _ready(spec, params, ev, output)
    curves = spec.curve(ev, **params).detach()
    curves = curves.to(_score_type(spec, params, curves, ev))
    return curves.masked_fill(~finite.unsqueeze(1), torch.nan).cpu()


def _takes_texts_as_a_whole(spec: MetricSpec, params: Mapping[str, Any]) -> bool:
    """Whether a metric is about a whole data set of texts, whose raw ids of different sizes it is given."""
    return spec.scope_of(params) == "dataset" and "text" in spec.needs


def _score_groups(spec: MetricSpec, params: Mapping[str, Any], ev: Evaluation, output: str | None) -> MeasuredScores:
    """Scores of samples of different sizes: each group of equal size is scored as dense samples are."""
    if spec.scope_of(params) != "sample" or "retrain" in spec.needs:
        raise UnsupportedError(
            f"{spec.name} is about the data set as a whole, and these are texts, graphs or samples of different sizes",
            "metrics with a score for every sample work",
        )
    if ev.model.encodes_ids and any(need.startswith("model_pair.") for need in spec.needs):
        raise UnsupportedError(f"{spec.name} compares two models, and two text models may have other embeddings")
    found = [(group.rows, score(spec, params, own, output=output)) for group, own in _groups(ev)]
    values = torch.cat([scores.values for _, scores in found])[torch.cat([rows for rows, _ in found]).argsort().cpu()]
    return replace(found[0][1], values=values)


def _groups(ev: Evaluation) -> list[tuple[Group, Evaluation]]:
    """The groups of equal size, made once per explanation, each with caches of its own."""

    def make() -> list[tuple[Group, Evaluation]]:
        assert ev.sizes is not None
        pool = pool_of(ev.model, ev.references)
        others = others_of(ev.layout, ev.inputs, ev.context)
        return [(group, _group(ev, group, pool)) for group in groups(ev.sizes, _widths(ev), others)]

    found: list[tuple[Group, Evaluation]] = ev.reuse(f"groups/{ev.output}", make)
    return found


def _widths(ev: Evaluation) -> Tensor | None:
    """Most pieces of a word (N,) of each text and of its other inputs; None where words have no pieces."""
    found = widths_of(ev.model, ev.inputs)
    if found is not None:
        others = (pair.inputs for pairs in _known_pairs(ev).values() for pair in pairs if pair.inputs is not None)
        for inputs in others:
            more = widths_of(ev.model, inputs)
            found = found if more is None else torch.maximum(found, more)
    return found


def _group(ev: Evaluation, group: Group, pool: Tensor | None) -> Evaluation:
    again = ev.explainer
    if isinstance(again, Explainer):
        again = replace(again, view=cut(again.view, group, pool))
    return replace(
        cut(ev, group, pool),
        attributions=ev.attributions[group.rows, : group.size],
        truth=None if ev.truth is None else cut_truth(ev.truth, group),
        cache=MemoryCache(),
        shared=ev.shared.below("size", group.key),
        explainer=again,
        pairs={need: tuple(_pair(ev, pair, group) for pair in pairs) for need, pairs in _known_pairs(ev).items()},
        retraining=None,
    )


def _known_pairs(ev: Evaluation) -> Mapping[str, tuple[Pair, ...]]:
    """The pairs that can be cut; another text model may have other embeddings, and is refused before."""
    if not ev.model.encodes_ids:
        return ev.pairs
    return {need: pairs for need, pairs in ev.pairs.items() if not need.startswith("model_pair.")}


def _pair(ev: Evaluation, pair: Pair, group: Group) -> Pair:
    """Other inputs of the samples of a group, encoded; texts of other sizes than theirs stay as they are."""
    truth = None if pair.truth is None else cut_truth(pair.truth, group)
    beside = None if pair.context is None else group.context_of(pair.context, ev.layout)
    own = replace(pair[group.rows], truth=truth, context=beside)
    if own.inputs is None:
        return own
    assert pair.inputs is not None
    context = group.context_of(ev.context, ev.layout) if beside is None else beside
    if ev.model.encodes_ids and bool(((sizes := lengths_of(own.inputs)) != group.size).any()):
        return replace(own, context=context, sizes=sizes)
    found = encoded(ev.model, group, pair.inputs, ev.layout)
    return replace(own, inputs=found.inputs, context={**context, **found.context})


def _ready(
    spec: MetricSpec, params: Mapping[str, Any], ev: Evaluation, output: str | None
) -> tuple[Evaluation, Tensor, str]:
    """The explanation as a metric takes it, which samples (N,) have finite attributions, and how it was converted."""
    if ev.kind not in spec.accepts:
        raise UnsupportedError(f"{spec.name} takes {' or '.join(sorted(spec.accepts))}, not {ev.kind}")
    ev = measured(spec, ev, output, params)
    ev, finite = zero_nonfinite(ev)
    conversion = "none"
    wanted = spec.conversion(params)
    if ev.kind == "slope" and (wanted == "contribution" or (wanted == "order" and ev.layout.one_number_each)):
        masker = str(params.get("masker", "zero"))
        conversion = f"slope x (input - {masker})"
        ev = _converted(ev, masker)
    if spec.scope_of(params) == "sample":
        # With the evaluation that the metric gets, whose cache then holds the masker.
        check_masker(params, ev)
    return ev, finite, conversion


def _score_type(spec: MetricSpec, params: Mapping[str, Any], values: Tensor, ev: Evaluation) -> torch.dtype:
    """float64 for values that the model returns in it, which may differ by less than float32 can tell; else float32."""
    exact = ev.model.returns == "value" and values.dtype == torch.float64 and spec.has_output_unit(params)
    return torch.float64 if exact else torch.float32


def _check_shape(spec: MetricSpec, scope: Scope, values: Any, n_samples: int) -> None:
    """One number per sample; for a score over the data set one per resampling unit, however many there are."""
    got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    if scope == "sample" and got != (n_samples,):
        raise ValueError(f"metric {spec.name!r} returned {got} instead of one number for each of {n_samples} samples")
    if scope == "dataset" and (not isinstance(values, Tensor) or values.ndim != 1 or len(values) == 0):
        raise ValueError(f"metric {spec.name!r} returned {got} instead of one number per resampling unit")


def _check_bounds(spec: MetricSpec, scope: Scope, values: Tensor, bounds: ScoreBounds, ev: Evaluation) -> None:
    """Raise UsageError if a defined score is outside of what there can be: then it is not what it is said to be."""
    if bounds == (None, None):
        return
    low, high = (fallback if b is None else b for b, fallback in zip(bounds, (-torch.inf, torch.inf), strict=True))
    numbers = values.numpy()
    outside = (numbers < low - BOUNDS_TOLERANCE) | (numbers > high + BOUNDS_TOLERANCE)
    if not outside.any():
        return
    first = int(outside.argmax())
    unit = "sample" if scope == "sample" else "repeat"
    hint = "correct the metric, or the bounds that it declares"
    if ev.output == "probability" and "probability" in ev.model.returns:
        hint = 'are the numbers of the model probabilities? Say returns="logit" if they are not'
    raise UsageError(
        f"metric {spec.name!r} gives {float(values[first]):.6g} for {unit} {first}, and its scores of a {ev.output} go"
        f" from {low:g} to {high:g}",
        hint,
    )


def zero_nonfinite(ev: Evaluation) -> tuple[Evaluation, Tensor]:
    """The evaluation with 0 for numbers that are not finite, and which samples had none of them (N,)."""
    finite = torch.isfinite(ev.attributions.flatten(1)).all(dim=1)
    if finite.all():
        return ev, finite
    return ev.with_attributions(ev.attributions.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), ev.kind), finite


def _converted(ev: Evaluation, masker: str) -> Evaluation:
    """The evaluation with slopes turned into contributions, also when it explains again.

    Metrics of one masker share its cache.
    """
    maps, cache = ev.reuse(
        f"contribution/{masker}", lambda: (to_contribution(ev, masker), ev.cache_with_masker(masker))
    )
    again = ev.explainer
    if isinstance(again, Explainer):
        again = replace(again, function=_contributions(again.function, masker))
    return replace(ev, attributions=maps, kind="contribution", cache=cache, explainer=again)


def _contributions(function: ExplainFunction, masker: str) -> ExplainFunction:
    """An explainer of slopes as one of contributions."""

    def explain_contributions(view: ProblemView, stream: str) -> Tensor:
        return _times_input(view, explain(function, view, stream), lambda: view.removed(masker))

    return explain_contributions


def measured(
    spec: MetricSpec, ev: Evaluation, output: str | None = None, params: Mapping[str, Any] | None = None
) -> Evaluation:
    """The evaluation with the output that a metric measures: the one asked for, else by the metric's rule.

    Removal curves of values are in standard deviations over the reference samples, where there are any: so areas of
    different problems compare, and large values that differ by little keep their differences.
    """
    contrastive = ev.foils is not None
    rule = {None: ev.output, "curve": curve_output(ev.model.returns, contrastive=contrastive)}
    used = output or rule.get(spec.output, spec.output)
    assert used is not None
    check_output(used, ev.model.returns, contrastive=contrastive)
    of_values = output is None and spec.output == "curve" and ev.model.returns == "value"
    if of_values and spec.has_output_unit(params or {}):
        units = value_units(ev)
        if units is not None:
            return replace(ev, output=STANDARDISED, units=units)
    return ev if used == ev.output else replace(ev, output=used)


def value_units(ev: Evaluation) -> Tensor | None:
    """Mean and standard deviation (N, 2), float64, of what is explained of each sample over the reference samples.

    The deviation is 1 where all reference samples have the same value. None without reference samples.
    """
    if ev.background is None or (ev.context and not ev.background_context):
        return None
    raw = ev.shared.get(("background outputs",), lambda: {"raw": ev.predict_background()})["raw"].to(ev.targets.device)
    values = raw.double().T[ev.targets]
    if ev.foils is not None:
        values = values - raw.double().T[ev.foils]
    deviation = values.std(dim=1, correction=0)
    units = torch.stack([values.mean(dim=1), torch.where(deviation > 0, deviation, 1.0)], dim=1)
    # Sample by sample, so that a score does not depend on what is explained of the others.
    return torch.where(units.isfinite().all(dim=1, keepdim=True), units, units.new_tensor([0.0, 1.0]))


def to_contribution(ev: Evaluation, masker: str) -> Tensor:
    """Slopes times (input - baseline), the contributions of a linear model (N, *feature_shape).

    Raises
    ------
    UnsupportedError
        For several channels per feature: their slopes are summed already and cannot be separated.
    """
    if not ev.layout.one_number_each:
        several = "the columns of a group" if ev.layout.groups else f"{ev.layout.channels} channels"
        raise UnsupportedError(
            f"slopes summed over {several} cannot be turned into contributions",
            "score an explainer of kind contribution",
        )
    return _times_input(ev, ev.attributions, lambda: ev.baseline(masker))


def _times_input(samples: Samples, slopes: Tensor, without: Callable[[], Tensor]) -> Tensor:
    samples.layout.require_quantities("turning slopes into contributions")
    samples.layout.require_no_categories("turning slopes into contributions")
    return slopes * samples.layout.reduce(samples.inputs - without())
