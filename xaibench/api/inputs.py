"""Inputs, models and targets given to public functions: checked, converted and combined."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.api.arguments import failures_as_usage_errors
from xaibench.api.axes import LAST, channels_first, takes_channels_first
from xaibench.api.frames import encode_like, grouped, read_frames
from xaibench.api.graphs import read_graphs
from xaibench.api.missing_values import check_missing
from xaibench.api.raw_rows import is_ragged, padded
from xaibench.api.raw_views import read_raw
from xaibench.api.several_inputs import check_parameters, several_inputs
from xaibench.core.axes import check_convolution
from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.context import Context, context_rows
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.features import infer_layout
from xaibench.core.frames.detection import is_frame
from xaibench.core.groups import predict_groups
from xaibench.core.input_gradients import INSTEAD
from xaibench.core.keys import sample_digests
from xaibench.core.libraries import check_library
from xaibench.core.need_hints import HOW_TO_MEET
from xaibench.core.needs import missing_needs, need_of_data
from xaibench.core.outputs import check_columns, default_output
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.tokens import Tokens
from xaibench.core.truth import Truth
from xaibench.models.adapted_modules import cast_context, number_type
from xaibench.models.adapters import as_predictor, find_device
from xaibench.models.first_look import check_finite_outputs, first_look, look_at_rows
from xaibench.models.graph_edges import check_edges

ArrayLike = Any


def _tensor(values: ArrayLike, dtype: torch.dtype, device: torch.device) -> Tensor:
    return as_tensor(values).to(device=device, dtype=dtype)


def _number_type(predictor: Predictor, *given: ArrayLike | None) -> torch.dtype:
    """float64 for modules of that type, and for black boxes where the numbers that are given need it; else float32."""
    module = predictor.module
    if module is not None:
        return number_type(module)
    exact = any(as_tensor(values).dtype in _EXACT for values in given if values is not None)
    return torch.float64 if exact else torch.float32


_EXACT = frozenset({torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64})
"""Types of numbers that float32 may not hold, such as dates and prices."""


def as_tensor(values: ArrayLike) -> Tensor:
    """A tensor of anything array-like; memory that must not be written to is copied."""
    if isinstance(values, Tensor):
        return values.detach()
    try:
        array = np.require(values, requirements=["C", "W"])
    except (TypeError, ValueError) as error:
        raise UsageError("expected an array of numbers, not lists of different lengths") from error
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"expected an array of numbers, not of {array.dtype}",
            "give a table with text or categories as a data frame, classes by their numbers, and texts with"
            " model=xb.text_model(model, tokenizer)",
        )
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def require_finite(values: Tensor, name: str, *, missing: bool = False) -> None:
    """Raise UsageError if a row of (N, ...) holds infinity, or NaN unless values may be ``missing``."""
    wrong = (torch.isinf(values) if missing else ~torch.isfinite(values)).flatten(1).any(dim=1)
    if bool(wrong.any()):
        rows = wrong.nonzero().flatten().tolist()
        what = "infinity" if missing else "NaN or infinity"
        raise UsageError(
            f"{name} hold {what} in {len(rows)} of {len(values)} rows, the first is row {rows[0]}",
            "leave these rows out, or fill them in as for training",
        )


def as_classes(values: ArrayLike, name: str) -> Tensor:
    """Whole numbers, int64."""
    try:
        given = as_tensor(values)
    except UsageError as error:
        hint = "give classes by their numbers, or say what the columns are called: class_names="
        raise UsageError(f"{name}: {error.message}", hint) from error
    classes = given.to(torch.int64)
    if given.is_floating_point() and not torch.equal(classes.to(given), given):
        raise UsageError(f"{name} are not whole numbers", "give one class per sample")
    return classes


def context_tensors(
    context: Mapping[str, Any] | None, n: int, device: torch.device, argument: str = "context"
) -> dict[str, Tensor]:
    """The context as tensors, checked: a row for each of ``n`` samples, in the number types that it was given in.

    Raises
    ------
    UsageError
        If it is not a mapping of names to arrays with a row for every sample.
    """
    if context is None:
        return {}
    if not isinstance(context, Mapping) or not all(isinstance(name, str) for name in context):
        raise UsageError(f"{argument} is a {type(context).__name__}", f"give {argument}={{name: array}}")
    found = {}
    for name, values in context.items():
        tensor = as_tensor(values)
        if tensor.ndim == 0 or len(tensor) != n:
            raise UsageError(
                f"{argument} {name!r} has shape {tuple(tensor.shape)} for {n} samples", "give one row per sample"
            )
        found[name] = tensor.to(device)
    return found


def _of_own_type(predictor: Predictor, context: Context) -> dict[str, Tensor]:
    """The context of texts with its fractions in the number type that a module computes in."""
    module = predictor.module if predictor.module is not None else getattr(predictor, "inner", None)
    return dict(context) if module is None else cast_context(context, number_type(module))


def _count(inputs: ArrayLike) -> int:
    """How many samples there are; 0 where these are none."""
    try:
        return len(inputs)
    except TypeError:
        return 0


def make_view(
    model: Any,
    inputs: ArrayLike,
    seed: int,
    features: str | None,
    returns: str | None,
    background: ArrayLike | None,
    truth: ArrayLike | None,
    batch_size: int | None,
    device: str,
    context: Mapping[str, ArrayLike] | None = None,
    background_context: Mapping[str, ArrayLike] | None = None,
    special_tokens: Tokens | None = None,
    embedding: nn.Embedding | Tensor | str | None = None,
    axes: str | None = None,
    feature_groups: Any = None,
    categorical_features: Sequence[Any] = (),
    *,
    predict_all: bool = True,
) -> tuple[ProblemView, Tensor]:
    """Check what the caller gave and put it together; the caller's arrays and module mode stay as they are.

    Returns
    -------
    ProblemView, Tensor (N, C)
        Nothing is chosen yet that is explained: targets are 0. Outputs of the samples, of the first one alone unless
        ``predict_all``.
    """
    inputs, context = several_inputs(model, inputs, context)
    graphs = read_graphs(inputs, context, background, background_context, features)
    if graphs is not None:
        inputs, context, background, background_context = graphs.arrays
    frames = read_frames(model, inputs, background, categorical_features)
    if frames is not None:
        inputs, background = frames.inputs, frames.background
    elif is_frame(background):
        background = encode_like(None, background, "background")
    check_parameters(model, context)
    last = axes == LAST and features in (None, "image")
    beside = context_tensors(context, 0 if context is None else _count(inputs), find_device(device))
    text = (
        graphs.raw(model, returns=returns, device=device, batch_size=batch_size)
        if graphs is not None
        else read_raw(
            model,
            inputs,
            background,
            features=features,
            tokens=special_tokens,
            embedding=embedding,
            returns=returns,
            device=device,
            batch_size=batch_size,
            context=beside,
        )
    )
    if text is not None:
        predictor = text.predictor
        beside = {**_of_own_type(predictor, beside), **text.counts}
        if axes not in (None, "NT", "NTC", "NL"):
            raise UsageError(f"samples of different lengths have their steps first, not {axes}", "leave axes out")
    elif last:
        predictor = takes_channels_first(model, returns, device, batch_size)
    else:
        codec = None if frames is None else frames.codec
        predictor = as_predictor(model, returns=returns, device=device, batch_size=batch_size, codec=codec)
    where = predictor.device
    x = _tensor(inputs, _number_type(predictor, inputs, background), where) if text is None else text.inputs
    if last:
        x, features, axes = channels_first(x, "inputs"), "image", "NCHW"
    if x.ndim < 2 or x.numel() == 0:
        raise UsageError(f"inputs have shape {tuple(x.shape)}", "give at least one sample, (N, ...)")
    layout = infer_layout(tuple(x.shape[1:]), features, axes) if text is None else text.layout
    if text is None:
        require_finite(x, "inputs", missing=layout.kind == "table")
        known = x if background is None else _tensor(background, x.dtype, where)
        if not last:
            _check_background(known, x)
        layout = grouped(layout, frames, feature_groups, categorical_features, known, model)
        check_convolution(predictor.module, layout.input_shape, layout.kind, axes)
        check_missing(predictor, x, beside, () if frames is None else frames.codec.names)
        predictor = first_look(predictor, x, beside, given=returns)
    else:
        predictor = look_at_rows(predictor, x, text.sizes, layout, beside, given=returns)
    for note in () if predictor.facts is None else predictor.facts.notes:
        warnings.warn(note, stacklevel=3)
    tried = slice(0, len(x) if predict_all else 1)
    with failures_as_usage_errors(f"the model does not take inputs of shape (N, {', '.join(map(str, x.shape[1:]))})"):
        if text is None:
            raw = predictor.predict(x[tried], context_rows(beside, tried) or None)
        else:
            raw = predict_groups(predictor, x[tried], text.sizes[tried], layout, context_rows(beside, tried) or None)
    check_columns(raw, predictor.returns)
    check_finite_outputs(raw, predictor.returns)
    y = torch.zeros(len(x), dtype=torch.int64, device=where)
    chosen = default_output(predictor.returns)
    reference = None if background is None or text is not None else _tensor(background, x.dtype, where)
    if reference is not None and last:
        reference = channels_first(reference, "background")
    if reference is not None:
        _check_background(reference, x)
        require_finite(reference, "background", missing=layout.kind == "table")
    around = {}
    if background_context is not None:
        if background is None:
            raise UsageError("background_context has no background", "give the reference samples as background=")
        around = context_tensors(background_context, len(background), where, "background_context")
    if text is not None:
        references = text.references
        if references is not None:
            references = replace(references, context={**references.context, **around})
        rows = text.digests(beside)
        view = ProblemView(predictor, x, y, layout, chosen, rows, None, seed, context=beside)
        view = replace(view, sizes=text.sizes, references=references)
        check_edges(view)
        return view if truth is None else replace(view, truth=make_truth(view, truth)), raw
    if isinstance(inputs, Tensor):
        inputs = (inputs.float() if inputs.dtype == torch.bfloat16 else inputs).detach().cpu().numpy()
    rows = sample_digests(np.asarray(inputs), {name: values.cpu().numpy() for name, values in beside.items()})
    view = ProblemView(
        predictor, x, y, layout, chosen, rows, reference, seed, context=beside, background_context=around
    )
    view = view if frames is None else replace(view, codec=frames.codec)
    return view if truth is None else replace(view, truth=make_truth(view, truth)), raw


def _check_background(reference: Tensor, inputs: Tensor) -> None:
    """Raise UsageError if reference samples are none, or of another shape than the inputs."""
    if reference.shape[1:] != inputs.shape[1:]:
        raise UsageError(
            f"background samples have shape {tuple(reference.shape[1:])}, inputs {tuple(inputs.shape[1:])}"
        )
    if len(reference) == 0:
        raise UsageError("background has no samples", "leave it out, or give at least one")


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
    raw = as_tensor(padded(values, 0, name) if is_ragged(values) else values)
    expected = (len(view), *view.layout.feature_shape)
    if tuple(raw.shape) != expected:
        raise UsageError(f"{name} has shape {tuple(raw.shape)}, the features {expected}")
    raw = view.layout.from_given(raw)
    return raw.to(view.inputs.device)


def as_attributions(view: ProblemView, attributions: ArrayLike) -> Tensor:
    """Maps (N, *features), one for every sample, float32; a number per channel is summed."""
    whole = padded(attributions, 0, "attributions") if is_ragged(attributions) else attributions
    values = _tensor(whole, torch.float32, view.inputs.device)
    expected = (len(view), *view.layout.feature_shape)
    axis = view.layout.channel_axis(tuple(values.shape))
    values = values if axis is None else values.sum(dim=axis)
    if tuple(values.shape) != expected:
        raise UsageError(
            f"attributions have shape {tuple(values.shape)}, the features {expected}",
            "give one number per feature, and one per group of columns; features= says what the axes mean",
        )
    return view.layout.from_given(values)


def capabilities_of(
    view: ProblemView, *, explains: bool = True, retrains: bool = False, pairs: Iterable[str] = ()
) -> frozenset[str]:
    """Needs of explainers and metrics that what the caller gave meets."""
    offered = {need_of_data(view.layout.kind)} | view.model.provides
    offered |= {"background"} if view.background is not None or view.references is not None else set()
    offered |= {"reexplain"} if explains else set()
    offered |= {"retrain"} if retrains else set()
    offered |= {"labels"} if view.labels is not None else set()
    offered |= set(pairs)
    if view.truth is not None:
        offered |= {"truth.mask"} if view.truth.mask is not None else set()
        offered |= {"truth.weights"} if view.truth.weights is not None else set()
        offered |= {"truth.contributions"} if view.truth.contributions is not None else set()
        offered |= {"truth.signs"} if view.truth.signs is not None else set()
        offered |= {"truth.distractors"} if view.truth.distractors is not None else set()
    return frozenset(offered)


def require_needs(
    spec: ExplainerSpec | MetricSpec,
    view: ProblemView,
    *,
    explains: bool = True,
    retrains: bool = False,
    pairs: Iterable[str] = (),
) -> None:
    """Raise UnsupportedError, with what to pass, where a component's needs are not met."""
    check_library(spec.library)
    offered = capabilities_of(view, explains=explains, retrains=retrains, pairs=pairs)
    missing = missing_needs(spec.needs, offered)
    lacking = {} if view.model.facts is None else view.model.facts.lacking
    hint: str | None
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
            "gradients": view.model.why_no_gradients or "black boxes take the perturbation explainers",
            **HOW_TO_MEET,
        }
        hint = hints.get(missing[0])
        if missing[0].startswith("model_pair."):
            hint = f"pass pairs={{'{missing[0]}': {{'model': the other model, 'labels': what it should say}}}}"
        elif missing[0].startswith("input_pair."):
            hint = f"pass pairs={{'{missing[0]}': {{'inputs': the other inputs}}}}"
        raise UnsupportedError(f"{spec.kind} {spec.name!r} needs {', '.join(missing)}", hint)
