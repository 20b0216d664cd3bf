"""Calling explainers, for the first time and again for metrics: the one place where their contract is enforced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.components import ATTRIBUTION_KINDS, ExplainerSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.explain_request import AS_BEFORE, ExplainRequest
from xaibench.core.features import FeatureLayout
from xaibench.core.finite import all_finite
from xaibench.core.groups import explain_groups
from xaibench.core.masking.effect import check_effect
from xaibench.core.pairs import Pair
from xaibench.core.problem import ProblemView, Samples

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


def channel_handling(layout: FeatureLayout, params: Mapping[str, Any]) -> str:
    """How an explainer turns several channels into one number per feature: it sums them, unless told otherwise."""
    return "none" if layout.one_number_each else str(params.get("channels", "sum"))


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
    if all_finite(attributions):
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

    def __call__(self, request: ExplainRequest = AS_BEFORE) -> Tensor:
        """Attributions (B, *feature_shape) of what the request asks for; by default of the samples as they are."""
        view = self.view if request.samples is None else self._view_of(request.samples)
        if request.pair is not None:
            view = _view_of_pair(view, request.pair)
        rows, inputs, model = request.rows, request.inputs, request.model
        if rows is not None or inputs is not None or model is not None:
            view = view.take(slice(None) if rows is None else rows, inputs, model)
        if len(view.inputs) != len(view.targets):
            raise ValueError(f"{len(view.inputs)} inputs to explain need rows= that say whose copies they are")
        if request.targets is not None:
            view = replace(view, targets=request.targets)
        if request.background is not None:
            view = replace(view, background=request.background)
        stream = f"{self.stream}#{request.redraw}" if request.redraw else self.stream
        return explain(self.function, view, stream)

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
    if pair.sizes is not None:
        raise UnsupportedError(
            "the other texts are longer or shorter than the samples, and their explanations cannot be compared",
            "give other texts with as many words",
        )
    rows = slice(0, len(view) if pair.inputs is None else len(pair.inputs))
    seen = view.take(rows, pair.inputs, None if pair.model is None else pair.model(), pair.context)
    truth = None if view.truth is None or pair.truth is None else replace(pair.truth[rows], distractors=None)
    return replace(seen, truth=truth, labels=seen.labels if pair.labels is None else pair.labels)
