"""What a caller gave, checked and put together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core import registry, scoring
from xaibench.core.components import ATTRIBUTION_KINDS, ExplainerSpec, MetricSpec, missing_needs, sees_truth
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.evaluation import Evaluation
from xaibench.core.features import infer_layout
from xaibench.core.input_gradients import INSTEAD
from xaibench.core.keys import row_digests
from xaibench.core.outputs import check_columns, check_output, default_output
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.truth import Truth
from xaibench.models.adapters import as_predictor
from xaibench.models.first_look import check_finite, first_look

ArrayLike = Any
ExplainWith = str | Callable[[Any, Tensor, Tensor], Any]


def _tensor(values: ArrayLike, dtype: torch.dtype, device: torch.device) -> Tensor:
    return as_tensor(values).to(device=device, dtype=dtype)


def _number_type(predictor: Predictor, *given: ArrayLike | None) -> torch.dtype:
    """float64 for modules of that type, and for black boxes where the numbers that are given need it; else float32."""
    module = predictor.module
    if module is not None:
        own = {t.dtype for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()}
        return torch.float64 if own == {torch.float64} else torch.float32
    exact = any(as_tensor(values).dtype in _EXACT for values in given if values is not None)
    return torch.float64 if exact else torch.float32


_EXACT = frozenset({torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64})
"""Types of numbers that float32 may not hold, such as dates and prices."""


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
) -> ProblemView:
    """Check what the caller gave and put it together; the caller's arrays and module mode stay as they are."""
    predictor = as_predictor(model, returns=returns, device=device, batch_size=batch_size)
    where = predictor.device
    x = _tensor(inputs, _number_type(predictor, inputs, background), where)
    if x.ndim < 2 or len(x) == 0:
        raise UsageError(f"inputs have shape {tuple(x.shape)}", "give at least one sample, (N, ...)")
    layout = infer_layout(tuple(x.shape[1:]), features)
    predictor = first_look(predictor, x, given=returns)
    for note in () if predictor.facts is None else predictor.facts.notes:
        warnings.warn(note, stacklevel=3)
    raw = predictor.predict(x if targets is None else x[:1])
    check_columns(raw, predictor.returns)
    check_finite(raw, predictor.returns)
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
    reference = None if background is None else _tensor(background, x.dtype, where)
    if reference is not None and reference.shape[1:] != x.shape[1:]:
        raise UsageError(f"background samples have shape {tuple(reference.shape[1:])}, inputs {tuple(x.shape[1:])}")
    if reference is not None and len(reference) == 0:
        raise UsageError("background has no samples", "leave it out, or give at least one")
    if isinstance(inputs, Tensor):
        inputs = (inputs.float() if inputs.dtype == torch.bfloat16 else inputs).detach().cpu().numpy()
    rows = row_digests(np.asarray(inputs))
    view = ProblemView(predictor, x, y, layout, chosen, rows, reference, seed)
    return view if truth is None else replace(view, truth=make_truth(view, truth))


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
        declared = scoring.attribution_kind(spec, view, {})
        function = scoring.explain_function(spec, spec.bind({}))
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
    offered = {kind} | view.model.provides
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
    lacking = {} if view.model.facts is None else view.model.facts.lacking
    if missing and missing[0] in lacking:
        instead = INSTEAD if missing[0] == "gradients" else "give the module as it was before compilation"
        raise UnsupportedError(f"{spec.kind} {spec.name!r} needs {missing[0]}, and {lacking[missing[0]]}", instead)
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
