"""What a caller gave, checked and put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.api.axes import LAST, channels_first, takes_channels_first
from xaibench.api.background import with_background_masker
from xaibench.core import registry, scoring
from xaibench.core.axes import check_convolution
from xaibench.core.components import ATTRIBUTION_KINDS, ExplainerSpec, MetricSpec, missing_needs, sees_truth
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import infer_layout
from xaibench.core.keys import row_digests
from xaibench.core.outputs import check_columns, check_output, default_output
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.truth import Truth
from xaibench.models.adapters import as_predictor

ArrayLike = Any
ExplainWith = str | Callable[[Any, Tensor, Tensor], Any]


def _tensor(values: ArrayLike, dtype: torch.dtype, device: torch.device) -> Tensor:
    return as_tensor(values).to(device=device, dtype=dtype)


def as_tensor(values: ArrayLike) -> Tensor:
    """A tensor of anything array-like; memory that must not be written to is copied."""
    if isinstance(values, Tensor):
        return values.detach()
    array = np.require(values, requirements=["C", "W"])
    if array.dtype.kind not in "biuf":
        raise UsageError(f"expected an array of numbers, not of {array.dtype}")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def as_classes(values: ArrayLike, name: str) -> Tensor:
    """Whole numbers, int64."""
    given = as_tensor(values)
    classes = given.to(torch.int64)
    if given.is_floating_point() and not torch.equal(classes.to(given), given):
        raise UsageError(f"{name} are not whole numbers", "give one class per sample")
    return classes


def make_view(
    model: Any,
    inputs: ArrayLike,
    targets: ArrayLike | None,
    seed: int,
    features: str | None,
    output: str | None,
    returns: str | None,
    background: ArrayLike | None,
    truth: ArrayLike | None,
    batch_size: int | None,
    device: str,
    axes: str | None = None,
) -> ProblemView:
    """Check what the caller gave and put it together; the caller's arrays and module mode stay as they are."""
    last = axes == LAST and features in (None, "image")
    make = takes_channels_first if last else _predictor
    predictor = make(model, returns, device, batch_size)
    where = predictor.device
    x = _tensor(inputs, torch.float32, where)
    if last:
        x, features, axes = channels_first(x, "inputs"), "image", "NCHW"
    if x.ndim < 2 or len(x) == 0:
        raise UsageError(f"inputs have shape {tuple(x.shape)}", "give at least one sample, (N, ...)")
    layout = infer_layout(tuple(x.shape[1:]), features, axes)
    check_convolution(predictor.module, layout.input_shape, layout.kind, axes)
    missing = torch.isnan(x).flatten(1).any(dim=1)
    raw = predictor.predict(x if targets is None or bool(missing.any()) else x[:1])
    check_columns(raw, predictor.returns)
    _check_missing(x, missing, raw)
    if targets is None:
        y = raw.argmax(dim=1)
    else:
        y = as_classes(targets, "targets").to(where)
        if tuple(y.shape) != (len(x),):
            raise UsageError(f"targets have shape {tuple(y.shape)} for {len(x)} inputs", "give one class per sample")
        if int(y.min()) < 0 or int(y.max()) >= raw.shape[1]:
            raise UsageError(f"targets go from {int(y.min())} to {int(y.max())}, the model has {raw.shape[1]} outputs")
    chosen = output or default_output(predictor.returns)
    check_output(chosen, predictor.returns)
    reference = None if background is None else _tensor(background, torch.float32, where)
    if reference is not None and last:
        reference = channels_first(reference, "background")
    if reference is not None and reference.shape[1:] != x.shape[1:]:
        raise UsageError(f"background samples have shape {tuple(reference.shape[1:])}, inputs {tuple(x.shape[1:])}")
    if reference is not None and len(reference) == 0:
        raise UsageError("background has no samples", "leave it out, or give at least one")
    rows = row_digests(inputs.detach().cpu().numpy() if isinstance(inputs, Tensor) else np.asarray(inputs))
    view = ProblemView(predictor, x, y, layout, chosen, rows, reference, seed)
    return view if truth is None else replace(view, truth=make_truth(view, truth))


def _predictor(model: Any, returns: str | None, device: str, batch_size: int | None) -> Predictor:
    return as_predictor(model, returns=returns, device=device, batch_size=batch_size)


def _check_missing(inputs: Tensor, missing: Tensor, raw: Tensor) -> None:
    """Raise UsageError if the model gives NaN for a sample (N,) with missing values: it does not take them."""
    lost = missing & torch.isnan(raw).any(dim=1).to(missing.device) if len(raw) == len(missing) else missing[:0]
    if bool(lost.any()):
        row = int(lost.nonzero()[0])
        column = int(torch.isnan(inputs[row].flatten()).nonzero()[0])
        raise UsageError(
            f"the model gives NaN for sample {row}, whose column {column} is missing (NaN)",
            "impute missing values, or use a model that takes them",
        )


def make_truth(view: ProblemView, truth: ArrayLike, name: str = "truth") -> Truth:
    """A mask of booleans or integers, or weights."""
    raw = _of_features(view, truth, name)
    if raw.is_floating_point():
        if not torch.isfinite(raw).all():
            raise UsageError(f"the weights of {name} are not all finite", "for a mask, pass booleans")
        return Truth("model", weights=raw.to(torch.float32))
    return Truth("model", mask=raw != 0)


def with_distractors(view: ProblemView, distractors: ArrayLike) -> ProblemView:
    """The view with a mask of features that do not matter added to what is true of it."""
    raw = _of_features(view, distractors, "distractors")
    if raw.is_floating_point():
        raise UsageError("distractors are numbers", "pass a mask: booleans or integers")
    return replace(view, truth=replace(view.truth or Truth("model"), distractors=raw != 0))


def _of_features(view: ProblemView, values: ArrayLike, name: str) -> Tensor:
    raw = as_tensor(values)
    expected = (len(view), *view.layout.feature_shape)
    if tuple(raw.shape) != expected:
        raise UsageError(f"{name} has shape {tuple(raw.shape)}, the features {expected}")
    return raw.to(view.inputs.device)


def make_evaluation(
    view: ProblemView, attributions: ArrayLike | None, explain: ExplainWith | None, kind: str | None
) -> Evaluation:
    """Put an evaluation together from attributions, an explainer, or both."""
    if attributions is None and explain is None:
        raise UsageError("there is nothing to score", "give attributions=, or explain=, an explainer")
    if kind is not None and kind not in ATTRIBUTION_KINDS:
        raise UsageError(f"unknown kind {kind!r}", f"known: {', '.join(ATTRIBUTION_KINDS)}")
    again: scoring.Explainer | None = None
    declared = "contribution"
    if isinstance(explain, str):
        spec = cast(ExplainerSpec, registry.get("explainer", explain))
        require_needs(spec, view)
        bound = spec.bind(with_background_masker(spec, {}, view))
        declared = scoring.attribution_kind(spec, view, bound)
        function = scoring.explain_function(spec, bound)
        shown = replace(view.truth, distractors=None) if view.truth is not None and sees_truth(spec.needs) else None
        again = scoring.Explainer(function, replace(view, truth=shown), f"explain/{spec.name}")
    elif explain is not None:
        again = scoring.Explainer(_from_callable(explain), replace(view, truth=None), "explain/callable")
    if attributions is not None:
        values = _tensor(attributions, torch.float32, view.inputs.device)
        expected = (len(view), *view.layout.feature_shape)
        if tuple(values.shape) != expected:
            raise UsageError(
                f"attributions have shape {tuple(values.shape)}, the features {expected}",
                "sum over channels; features= says what the axes mean",
            )
    else:
        assert again is not None
        values = again()
    return Evaluation.of(view, attributions=values, kind=kind or declared, truth=view.truth, explainer=again)


def _from_callable(function: Callable[[Any, Tensor, Tensor], Any]) -> scoring.ExplainFunction:
    """Let a plain function (model, inputs, targets) -> attributions explain again."""

    def again(view: ProblemView, stream: str) -> Any:
        model: nn.Module | Any = view.model.module if view.model.module is not None else view.model.predict
        return function(model, view.inputs, view.targets)

    return again


def require_needs(
    spec: ExplainerSpec | MetricSpec,
    view: ProblemView,
    *,
    explains: bool = True,
    retrains: bool = False,
    pairs: Iterable[str] = (),
) -> None:
    """Raise UnsupportedError, with what to pass, where a component's needs are not met."""
    kind = "text" if view.layout.kind == "tokens" else view.layout.kind
    offered = {kind} | ({"gradients", "module"} if view.model.module is not None else set())
    offered |= {"background"} if view.background is not None else set()
    offered |= {"reexplain"} if explains else set()
    offered |= {"retrain"} if retrains else set()
    offered |= {"labels"} if view.labels is not None else set()
    offered |= set(pairs)
    if view.truth is not None:
        offered |= {"truth.mask"} if view.truth.mask is not None else set()
        offered |= {"truth.weights"} if view.truth.weights is not None else set()
        offered |= {"truth.distractors"} if view.truth.distractors is not None else set()
    missing = missing_needs(spec.needs, offered)
    if missing:
        hints = {
            "background": "pass background=, reference samples",
            "reexplain": "pass explain=, an explainer or a callable",
            "retrain": "pass retrain=, a function (inputs, targets, seed) -> model, and train=(inputs, labels)",
            "labels": "pass labels=, the true class of every input",
            "truth.distractors": "pass distractors=, booleans (N, *features)",
            "truth.mask": "pass truth=, booleans (N, *features)",
            "truth.weights": "pass truth=, floats (N, *features)",
            "truth": "pass truth=, (N, *features)",
            "gradients": "black boxes take the perturbation explainers",
        }
        hint = hints.get(missing[0])
        if missing[0].startswith("model_pair."):
            hint = f"pass pairs={{'{missing[0]}': {{'model': the other model, 'labels': what it should say}}}}"
        elif missing[0].startswith("input_pair."):
            hint = f"pass pairs={{'{missing[0]}': {{'inputs': the other inputs}}}}"
        raise UnsupportedError(f"{spec.kind} {spec.name!r} needs {', '.join(missing)}", hint)
