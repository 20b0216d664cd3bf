"""Calling explainers and metrics: the one place where their contracts are enforced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.components import ATTRIBUTION_KINDS, ExplainerSpec, MetricSpec, ScoreBounds
from xaibench.core.context import context_rows
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import FeatureLayout
from xaibench.core.groups import Group, cut, cut_truth, explain_groups, groups, pool_of
from xaibench.core.masking.effect import check_effect
from xaibench.core.outputs import check_output, curve_output
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView, Samples
from xaibench.core.storage.cache import MemoryCache

BOUNDS_TOLERANCE = 1e-5
"""How far a score may be outside of the bounds of its metric, for rounding."""
ExplainFunction = Callable[[ProblemView, str], Tensor]
"""Explains a view; the second argument names the draws."""


def attribution_kind(spec: ExplainerSpec, view: ProblemView, params: Mapping[str, Any]) -> str:
    """What this explainer's numbers mean on this problem, with these parameters."""
    kind = spec.stated_kind(params)
    if kind is None and callable(spec.attribution_kind):
        kind = spec.attribution_kind(view)
    if kind not in ATTRIBUTION_KINDS:
        raise ValueError(f"explainer {spec.name!r} is of unknown kind {kind!r}")
    return kind


def explain_function(spec: ExplainerSpec, params: Mapping[str, Any]) -> ExplainFunction:
    """Wrap a registered explainer with bound parameters (see `Component.bind`)."""

    def explain(view: ProblemView, stream: str) -> Tensor:
        extra = {"draws": view.draws(stream)} if spec.takes("draws") else {}
        return spec.function(view, **params, **extra)  # type: ignore[no-any-return]

    return explain


def explain(function: ExplainFunction, view: ProblemView, stream: str) -> Tensor:
    """Explain and check the result; samples of different sizes are explained in groups of equal size.

    Returns
    -------
    Tensor (N, *feature_shape), float32, detached
        0 behind the end of shorter samples. NaN is allowed and makes every score of that sample undefined.

    Raises
    ------
    ValueError
        If the explainer returns another shape, or changes its inputs in place.
    """
    if view.sizes is not None:
        return explain_groups(view, lambda group: explain(function, group, stream))
    before = view.inputs._version
    result = function(view, stream)
    raw = result if isinstance(result, Tensor) else torch.from_numpy(np.asarray(result))
    expected = (len(view), *view.layout.feature_shape)
    if tuple(raw.shape) != expected:
        raise ValueError(f"the explainer returned shape {tuple(raw.shape)} instead of {expected}")
    if view.inputs._version != before:
        raise ValueError("the explainer changed its inputs in place")
    _refuse_missing(raw, view)
    return raw.detach().to(device=view.inputs.device, dtype=torch.float32)


def _refuse_missing(attributions: Tensor, view: ProblemView) -> None:
    """Raise UnsupportedError if attributions are NaN because of missing values of the samples or the background."""
    if bool(torch.isfinite(attributions).all()):
        return
    for what, values in (("samples", view.inputs), ("background", view.background)):
        missing = None if values is None or not values.is_floating_point() else torch.isnan(values).flatten(1)
        if missing is not None and bool(missing.any()):
            row, column = torch.nonzero(missing)[0].tolist()
            raise UnsupportedError(
                f"the explainer gives NaN where values are missing: column {column} of row {row} of the {what} is NaN",
                "impute missing values, or use an explainer that removes features with a masker such as marginal",
            )


def check_masker(params: Mapping[str, Any], samples: Samples) -> None:
    """Raise UnsupportedError if the masker among the parameters of a component changes none of several samples.

    Raw rows of different lengths are left alone: what a masker does is known once they are encoded.
    """
    name = params.get("masker")
    if isinstance(name, str) and len(samples) > 1 and samples.sizes is None:
        check_effect(name, samples.inputs, samples.masker(name).fill)


@dataclass(frozen=True)
class Explainer:
    """Explains again for metrics; see `Evaluation.explain`."""

    function: ExplainFunction
    view: ProblemView
    stream: str

    def __call__(
        self,
        *,
        model: Predictor | None = None,
        inputs: Tensor | None = None,
        rows: Tensor | None = None,
        targets: Tensor | None = None,
        samples: Samples | None = None,
        background: Tensor | None = None,
        pair: Pair | None = None,
        redraw: int = 0,
    ) -> Tensor:
        view = self.view if samples is None else self._view_of(samples)
        if pair is not None:
            view = _view_of_pair(view, pair)
        if rows is not None or inputs is not None or model is not None:
            view = view.take(slice(None) if rows is None else rows, inputs, model)
        if len(view.inputs) != len(view.targets):
            raise ValueError(f"{len(view.inputs)} inputs to explain need rows= that say whose copies they are")
        if targets is not None:
            view = replace(view, targets=targets)
        if background is not None:
            view = replace(view, background=background)
        return explain(self.function, view, f"{self.stream}#{redraw}" if redraw else self.stream)

    def _view_of(self, samples: Samples) -> ProblemView:
        """Other samples as this explainer may see them: their truth only if it was shown that of its own."""
        truth = samples.truth if isinstance(samples, ProblemView) and self.view.truth is not None else None
        if truth is None and self.view.truth is not None:
            raise UnsupportedError(
                "this explainer is given the truth, and for the samples that are to be explained none is known",
                "metrics that explain training data need a data set with train_mask",
            )
        return ProblemView(**{f.name: getattr(samples, f.name) for f in fields(Samples)}, truth=truth)


def _view_of_pair(view: ProblemView, pair: Pair) -> ProblemView:
    """The samples as a pair sees them; what is true of them by themselves need not be true there."""
    if view.truth is not None and pair.truth is None:
        raise UnsupportedError(
            "this explainer is given the truth, and none is known for the other model or the other inputs",
            "data sets say it in PairSource.truth, callers in pairs={...: {'truth': ...}}",
        )
    rows = slice(0, len(view) if pair.inputs is None else len(pair.inputs))
    seen = view.take(rows, pair.inputs, None if pair.model is None else pair.model(), pair.context)
    truth = None if view.truth is None or pair.truth is None else replace(pair.truth[rows], distractors=None)
    return replace(seen, truth=truth, labels=seen.labels if pair.labels is None else pair.labels)


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
        ``values`` float32: (N,), one per sample, or for a metric of scope ``dataset`` (R,), one per
        resampling unit. NaN where the score is not defined: by the metric, because the attributions
        of the sample (of any sample, where the score is over the data set) are not finite, or
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
    if ev.sizes is not None:
        return _score_groups(spec, params, ev, output)
    ev, finite, conversion = _ready(spec, params, ev, output)
    values = spec.function(ev, **params)
    _check_shape(spec, values, len(ev))
    values = values.detach().to(torch.float32).cpu()
    finite = finite.cpu() if spec.scope == "sample" else finite.cpu().all()
    values = torch.where(torch.isfinite(values) & finite, values, torch.nan)
    _check_bounds(spec, values, spec.bounds_of(params, ev.output), ev)
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
    curves = spec.curve(ev, **params).detach().to(torch.float32)
    return curves.masked_fill(~finite.unsqueeze(1), torch.nan).cpu()


def _score_groups(spec: MetricSpec, params: Mapping[str, Any], ev: Evaluation, output: str | None) -> MeasuredScores:
    """Scores of samples of different sizes: each group of equal size is scored as dense samples are."""
    if spec.scope != "sample" or "retrain" in spec.needs:
        raise UnsupportedError(
            f"{spec.name} is about the data set as a whole, and these are token ids or samples of different lengths",
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
        return [(group, _group(ev, group, pool)) for group in groups(ev.sizes)]

    found: list[tuple[Group, Evaluation]] = ev.reuse(f"groups/{ev.output}", make)
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
        shared=ev.shared.below("size", group.size),
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
    """Other inputs of the samples of a group; they have the sizes of the samples' own."""
    truth = None if pair.truth is None else cut_truth(pair.truth, group)
    own = replace(pair[group.rows], truth=truth)
    if own.inputs is None:
        return own
    found = ev.model.encode(own.inputs, group.size, ev.layout)
    context = context_rows(ev.context, group.rows) if own.context is None else own.context
    return replace(own, inputs=found.inputs, context={**context, **found.context})


def _ready(
    spec: MetricSpec, params: Mapping[str, Any], ev: Evaluation, output: str | None
) -> tuple[Evaluation, Tensor, str]:
    """The explanation as a metric takes it, which samples (N,) have finite attributions, and how it was converted."""
    if ev.kind not in spec.accepts:
        raise UnsupportedError(f"{spec.name} takes {' or '.join(sorted(spec.accepts))}, not {ev.kind}")
    ev = measured(spec, ev, output)
    if spec.scope == "sample":
        check_masker(params, ev)
    ev, finite = zero_nonfinite(ev)
    conversion = "none"
    wanted = spec.conversion(params)
    if ev.kind == "slope" and (wanted == "contribution" or (wanted == "order" and ev.layout.one_number_each)):
        masker = str(params.get("masker", "zero"))
        conversion = f"slope x (input - {masker})"
        ev = _converted(ev, masker)
    return ev, finite, conversion


def _check_shape(spec: MetricSpec, values: Any, n_samples: int) -> None:
    """One number per sample; for a score over the data set one per resampling unit, however many there are."""
    got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    if spec.scope == "sample" and got != (n_samples,):
        raise ValueError(f"metric {spec.name!r} returned {got} instead of one number for each of {n_samples} samples")
    if spec.scope == "dataset" and (not isinstance(values, Tensor) or values.ndim != 1 or len(values) == 0):
        raise ValueError(f"metric {spec.name!r} returned {got} instead of one number per resampling unit")


def _check_bounds(spec: MetricSpec, values: Tensor, bounds: ScoreBounds, ev: Evaluation) -> None:
    """Raise UsageError if a defined score is outside of what there can be: then it is not what it is said to be."""
    low, high = (fallback if b is None else b for b, fallback in zip(bounds, (-torch.inf, torch.inf), strict=True))
    outside = (values < low - BOUNDS_TOLERANCE) | (values > high + BOUNDS_TOLERANCE)
    if not bool(outside.any()):
        return
    first = int(outside.nonzero()[0])
    unit = "sample" if spec.scope == "sample" else "repeat"
    hint = "correct the metric, or the bounds that it declares"
    if ev.output == "probability" and ev.model.returns == "probability":
        hint = 'are the numbers of the model probabilities? Say returns="logit" if they are not'
    raise UsageError(
        f"metric {spec.name!r} gives {float(values[first]):.6g} for {unit} {first}, and its scores of a {ev.output} go"
        f" from {low:g} to {high:g}",
        hint,
    )


def channel_handling(layout: FeatureLayout, params: Mapping[str, Any]) -> str:
    """How an explainer turns several channels into one number per feature: it sums them, unless told otherwise."""
    return "none" if layout.one_number_each else str(params.get("channels", "sum"))


def zero_nonfinite(ev: Evaluation) -> tuple[Evaluation, Tensor]:
    """The evaluation with 0 for numbers that are not finite, and which samples had none of them (N,)."""
    finite = torch.isfinite(ev.attributions.flatten(1)).all(dim=1)
    if bool(finite.all()):
        return ev, finite
    return ev.with_attributions(ev.attributions.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0), ev.kind), finite


def _converted(ev: Evaluation, masker: str) -> Evaluation:
    """The evaluation with slopes turned into contributions, also when it explains again.

    Metrics of one masker share its cache.
    """
    maps, cache = ev.reuse(f"contribution/{masker}", lambda: (to_contribution(ev, masker), MemoryCache()))
    again = ev.explainer
    if isinstance(again, Explainer):
        again = replace(again, function=_contributions(again.function, masker))
    return replace(ev, attributions=maps, kind="contribution", cache=cache, explainer=again)


def _contributions(function: ExplainFunction, masker: str) -> ExplainFunction:
    """An explainer of slopes as one of contributions."""

    def explain_contributions(view: ProblemView, stream: str) -> Tensor:
        return _times_input(view, explain(function, view, stream), masker)

    return explain_contributions


def measured(spec: MetricSpec, ev: Evaluation, output: str | None = None) -> Evaluation:
    """The evaluation with the output that a metric measures: the one asked for, else by the metric's rule."""
    rule = {None: ev.output, "curve": curve_output(ev.model.returns)}
    used = output or rule.get(spec.output, spec.output)
    assert used is not None
    check_output(used, ev.model.returns)
    return ev if used == ev.output else replace(ev, output=used)


def to_contribution(ev: Evaluation, masker: str) -> Tensor:
    """Slopes times (input - baseline), the contributions of a linear model (N, *feature_shape).

    Raises
    ------
    UnsupportedError
        For several channels per feature: their slopes are summed already and cannot be separated.
    """
    if not ev.layout.one_number_each:
        raise UnsupportedError(
            f"slopes summed over {ev.layout.channels} channels cannot be turned into contributions",
            "score an explainer of kind contribution",
        )
    return _times_input(ev, ev.attributions, masker)


def _times_input(samples: Samples, slopes: Tensor, masker: str) -> Tensor:
    samples.layout.require_quantities("turning slopes into contributions")
    return slopes * samples.layout.reduce(samples.inputs - samples.removed(masker))
