"""Pairs that a caller gives: the samples seen by another model, or with other inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from xaibench.api.frames import encode_like
from xaibench.api.inputs import as_classes, as_tensor, make_truth
from xaibench.api.raw_rows import series_rows, token_rows
from xaibench.api.raw_views import ids_of_strings
from xaibench.core import registry
from xaibench.core.context import context_rows
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.groups import predict_groups
from xaibench.core.needs import PAIRS
from xaibench.core.outputs import check_columns, check_output
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.tokens import NO_TOKEN
from xaibench.models.adapters import as_predictor
from xaibench.models.first_look import first_look, look_at_rows

PairsArgument = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]
_KNOWN = {
    "model_pair": ("model", "labels", "level", "truth", "returns"),
    "input_pair": ("inputs", "labels", "level", "truth"),
}


def make_pairs(view: ProblemView, pairs: PairsArgument, returns: str | None) -> dict[str, tuple[Pair, ...]]:
    """Check what the caller gave and put it together; see `score` for what it may hold."""
    if not isinstance(pairs, Mapping):
        raise UsageError(f"pairs is a {type(pairs).__name__}", "pairs={'model_pair.contrast': {'model': other, ...}}")
    return {need: _make(view, need, given, returns) for need, given in pairs.items()}


def _make(view: ProblemView, need: Any, given: Any, returns: str | None) -> tuple[Pair, ...]:
    known = {n for spec in registry.components("metric") for n in spec.needs if n.partition(".")[0] in PAIRS}
    if need not in known:
        raise UsageError(f"no metric needs the pair {need!r}", did_you_mean(str(need), known))
    entries = [given] if isinstance(given, Mapping) else given
    if not isinstance(entries, (list, tuple)) or not entries or not all(isinstance(e, Mapping) for e in entries):
        raise UsageError(
            f"{need} is neither a dictionary nor a list of dictionaries", f"keys: {', '.join(_keys(need))}"
        )
    return tuple(_one(view, need, entry, returns) for entry in entries)


def _keys(need: str) -> tuple[str, ...]:
    return _KNOWN[need.partition(".")[0]]


def _one(view: ProblemView, need: str, entry: Mapping[str, Any], returns: str | None) -> Pair:
    keys = _keys(need)
    for key in entry:
        if key not in keys:
            raise UsageError(f"{need} has no {key!r}", did_you_mean(str(key), keys))
    level = None if entry.get("level") is None else _number(entry["level"], f"level of {need}")
    # A level alone stands for the model that is explained.
    if keys[0] not in entry and (keys[0] == "inputs" or set(entry) != {"level"}):
        raise UsageError(f"{need} needs {keys[0]!r}", f"keys: {', '.join(keys)}")
    other = _model(view, need, entry["model"], entry.get("returns", returns)) if "model" in entry else None
    inputs = _inputs(view, need, entry["inputs"]) if "inputs" in entry else None
    labels = None
    if entry.get("labels") is not None:
        labels = make_labels(view, entry["labels"], other or view.model, f"labels of {need}")
    truth = None if entry.get("truth") is None else make_truth(view, entry["truth"], f"truth of {need}")
    return Pair(None if other is None else (lambda: other), inputs, labels, level, truth)


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{name} is {value!r}", "levels are finite numbers")
    return number


def _model(view: ProblemView, need: str, model: Any, returns: str | None) -> Predictor:
    try:
        given = as_predictor(model, returns=returns, device=view.model.device, codec=view.codec)
        if view.sizes is None:
            other = first_look(given, view.inputs, view.context, given=returns)
        else:
            other = look_at_rows(given, view.inputs, view.sizes, view.layout, view.context, given=returns)
        check_columns(outputs_of_first(view, other), other.returns)
    except UsageError as error:
        raise UsageError(f"{need}: {error.message}", error.hint) from error
    check_output(view.output, other.returns, contrastive=view.foils is not None)
    return other


def _inputs(view: ProblemView, need: str, given: Any) -> Tensor:
    if view.sizes is not None:
        return _texts(view, need, given)
    inputs = as_tensor(encode_like(view.codec, given, f"inputs of {need}")).to(view.inputs)
    if inputs.shape != view.inputs.shape:
        raise UsageError(
            f"inputs of {need} have shape {tuple(inputs.shape)}, those that are explained {tuple(view.inputs.shape)}",
            "give one for each, in the same order",
        )
    return inputs


def _texts(view: ProblemView, need: str, given: Any) -> Tensor:
    """Other texts or series of the same lengths, as raw rows like those of the view."""
    text = view.model.encodes_ids
    given = ids_of_strings(view.model, given, f"inputs of {need}")
    found, sizes = token_rows(given, None, f"inputs of {need}") if text else series_rows(given, f"inputs of {need}")
    if sizes.tolist() != (view.sizes.tolist() if view.sizes is not None else []):
        raise UsageError(f"inputs of {need} have other lengths than those that are explained", "give one for each")
    shape = list(view.inputs.shape)
    if text and len(shape) == 3:
        shape[2] = max(shape[2], found.shape[2])
    rows = view.inputs.new_full(shape, NO_TOKEN if text else 0)
    given_rows = torch.from_numpy(found).to(rows)[:, : shape[1]]
    rows[tuple(slice(size) for size in given_rows.shape)] = given_rows
    return rows


def outputs_of_first(view: ProblemView, model: Predictor) -> Tensor:
    """Raw outputs (1, C) of a model for the first sample."""
    one, context = view.inputs[:1], context_rows(view.context, slice(0, 1)) or None
    if view.sizes is None:
        return model.predict(one, context)
    return predict_groups(model, one, view.sizes[:1], view.layout, context)


def make_labels(view: ProblemView, given: Any, model: Predictor, name: str = "labels") -> Tensor:
    """True classes (N,) of int64, each an output of the model."""
    labels = as_classes(given, name).to(view.inputs.device)
    if tuple(labels.shape) != (len(view),):
        raise UsageError(f"{name} have shape {tuple(labels.shape)} for {len(view)} inputs", "give one class per sample")
    n_outputs = outputs_of_first(view, model).shape[1]
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= n_outputs:
        raise UsageError(f"{name} go from {low} to {high}, the model has {n_outputs} outputs")
    return labels
