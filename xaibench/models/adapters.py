"""Adapters from torch modules, scikit-learn estimators and callables to a `Predictor`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
import torch
from torch import nn

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.keys import array_digest, digest
from xaibench.core.module_copies import is_compiled
from xaibench.core.outputs import GivenReturns, Returns, columns_returned, is_of_one_column
from xaibench.core.predictor import CallablePredictor, Predictor, TorchPredictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.storage.files import tensor_digest
from xaibench.core.types import Array
from xaibench.models.adapted_modules import original
from xaibench.models.boosters import booster_function, is_lightgbm_booster, is_xgboost_booster, lightgbm_function
from xaibench.models.frame_inputs import FrameFunction, fitted_names, rows_for
from xaibench.models.one_column import function_with_two_columns, module_with_two_columns

if TYPE_CHECKING:
    from xaibench.core.frames.codec import FrameCodec

_RETURNS = get_args(GivenReturns)


def as_predictor(
    model: Any,
    *,
    returns: str | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    codec: FrameCodec | None = None,
) -> Predictor:
    """Wrap a model.

    Parameters
    ----------
    model : torch.nn.Module, fitted scikit-learn estimator, callable or Predictor
        A module is put into evaluation mode and on the device. An estimator gets inputs flattened
        to (N, D). A callable gets a numpy array (N, ...) and returns (N, C). A predictor is
        returned as it is.
    returns : GivenReturns, optional
        What the model's numbers are; a single column of ``"binary_logit"`` or ``"binary_probability"`` becomes two, of
        logits or probabilities. By default an estimator gives probabilities if it has ``predict_proba``, logits
        from ``decision_function``, values if it is a regressor. Of a module it is assumed that it gives logits, of a
        callable that it gives probabilities; `xaibench.models.first_look` decides from the outputs.
    device : torch.device or str
        For modules. Black boxes compute where they want.
    batch_size : int, optional
    codec : FrameCodec, optional
        How rows become data frames, where they came from frames: estimators and boosters that were fitted on frames
        are given frames, functions too unless they take arrays only, modules never.

    Raises
    ------
    UsageError
        If the model is none of these or not fitted, or ``returns`` or the device is unknown.
    """
    if returns is not None and returns not in _RETURNS:
        raise UsageError(f"a model cannot return {returns!r}", did_you_mean(returns, _RETURNS))
    if isinstance(model, Predictor):
        return model
    where = find_device(device)
    if isinstance(model, type):
        raise UsageError(f"{model.__name__} is a class, not a model", "give a fitted instance of it")
    if isinstance(model, nn.Module):
        if codec is not None and not codec.positional and codec.has_text:
            raise UsageError(
                "a torch module takes numbers, and the data frame has a column of text or categories",
                "encode them as the module takes them; feature_groups= makes a one-hot block one feature",
            )
        said = returns or cast("str | None", getattr(model, "default_returns", None))
        known = columns_returned(said) or "logit"
        if returns is not None and is_of_one_column(returns):
            model = module_with_two_columns(model, returns)
        return _assumed(TorchPredictor(model, known, device=where, batch_size=batch_size), said)
    if is_xgboost_booster(model):
        function, known = booster_function(model, returns, codec)
        return CallablePredictor(function, known, batch_size=batch_size)
    if is_lightgbm_booster(model):
        function, known = lightgbm_function(model, returns, codec)
        return CallablePredictor(function, known, batch_size=batch_size)
    if any(hasattr(model, name) for name in ("predict_proba", "decision_function", "predict")):
        function, known = _estimator(model, returns, codec)
        predictor = CallablePredictor(function, known, batch_size=batch_size)
        predictor.takes_missing = _allows_nan(model)
        if fitted_names(model) is None and (codec is None or codec.all_numbers):
            predictor.estimator = model
        return predictor
    if callable(model):
        known = columns_returned(returns) or cast(Returns, getattr(model, "default_returns", "probability"))
        given = model if codec is None or codec.positional else FrameFunction(model, codec)
        if returns is not None and is_of_one_column(returns):
            given = function_with_two_columns(given, returns)
        return _assumed(CallablePredictor(given, known, batch_size=batch_size), returns)
    raise UsageError(
        f"a {type(model).__name__} is not a model",
        "give a torch module, a fitted scikit-learn estimator, or a callable from (N, ...) to (N, C)",
    )


def find_device(device: torch.device | str) -> torch.device:
    """Return the device, or raise UsageError if torch does not know it or this machine has none."""
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"unknown device {str(device)!r}", "known: cpu, cuda, cuda:0, mps") from error
    counts: dict[str, Callable[[], int]] = {"cpu": lambda: 1, "cuda": torch.cuda.device_count}
    counts["mps"] = lambda: int(torch.backends.mps.is_available())
    if found.type not in counts:
        raise UsageError(f"device {str(device)!r} is not supported", "known: cpu, cuda, cuda:0, mps")
    if (found.index or 0) >= counts[found.type]():
        raise UsageError(f"this machine has no device {str(device)!r}", "leave the device out to compute on the CPU")
    return found


def fingerprint(model: Any, inputs: Array, context: Mapping[str, Array] | None = None) -> str:
    """Content digest of a model; ``context`` goes to it beside the inputs.

    Of a module: its weights and how it prints, layers with their settings. Of a black box, and of a
    TorchScript module, which may hide its weights: what it returns for ``inputs`` (N, *input_shape),
    and off the data, with the columns of ``inputs`` mixed.
    What neither shows (the code of a forward pass) is distinguished by name, parameters and version of
    the recipe, or by its source; see `xaibench.problems.preparing`.
    """
    module = model.module if isinstance(model, Predictor) else model
    if isinstance(module, nn.Module):
        module = original(module)
    if isinstance(module, nn.Module) and not is_compiled(module):
        state = {name: tensor_digest(t) for name, t in module.state_dict().items()}
        beside = model.identity if isinstance(model, Predictor) else []
        return digest("module", repr(module), state, *([beside] if beside else []))
    if isinstance(model, Predictor) and model.encodes_ids:
        # Columns of texts cannot be mixed: what is behind the end of one would be in another.
        raw = [predict_raw(model, x, context).numpy() for x in (inputs, inputs[::-1].copy())]
        return digest("outputs", model.identity, *(array_digest(found) for found in raw))
    flat = inputs.reshape(len(inputs), -1)
    mixed = np.stack([np.roll(column, i + 1) for i, column in enumerate(flat.T)], axis=1).reshape(inputs.shape)
    predictor = as_predictor(model)
    return digest("outputs", *(array_digest(predict_raw(predictor, x, context).numpy()) for x in (inputs, mixed)))


def _assumed(predictor: Predictor, returns: str | None) -> Predictor:
    """The predictor, which is only assumed to return what it says if nothing was given."""
    predictor.returns_assumed = returns is None
    return predictor


def _allows_nan(model: Any) -> bool:
    """Whether an estimator says that NaN is a missing value for it."""
    from sklearn.utils import get_tags

    try:
        return bool(get_tags(model).input_tags.allow_nan)
    except (AttributeError, TypeError, ValueError):
        return False


def _estimator(model: Any, returns: str | None, codec: FrameCodec | None) -> tuple[Callable[[Array], Array], Returns]:
    """The function of an estimator that gives ``returns``, or the best that it has."""
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if isinstance(model, BaseEstimator):
        try:
            check_is_fitted(model)
        except NotFittedError as error:
            raise UsageError(f"this {type(model).__name__} is not fitted", "call fit first") from error
    names = {"probability": "predict_proba", "logit": "decision_function", "value": "predict"}
    classifies = hasattr(model, "classes_") or hasattr(model, "predict_proba")
    possible = [r for r, n in names.items() if hasattr(model, n) and (r == "value") != classifies]
    of_labels = returns is not None and returns.startswith("multilabel_")
    chosen = (returns or "").removeprefix("multilabel_") or (possible[0] if possible else None)
    if chosen not in possible:
        raise UsageError(
            f"a {type(model).__name__} cannot return {chosen or 'class scores'}",
            f"it can return {' or '.join(possible)}"
            if possible
            else "it has neither predict_proba nor decision_function",
        )
    method = getattr(model, names[chosen])
    rows = rows_for(model, codec)

    def function(inputs: Array) -> Array:
        answer = method(rows(inputs))
        raw = _of_labels(answer, model.classes_) if isinstance(answer, list) else np.asarray(answer)
        if chosen == "logit" and raw.ndim == 1:
            # One signed score of two classes: half to each, so that their difference is the score.
            raw = np.stack([-raw / 2, raw / 2], axis=1)
        return raw

    # For checks that look into the steps of a pipeline.
    function.estimator, function.rows = model, rows  # type: ignore[attr-defined]
    return function, cast(Returns, f"multilabel_{chosen}" if of_labels else chosen)


def _of_labels(answer: Sequence[Array], classes: Sequence[Array]) -> Array:
    """Probabilities of labels (N, L) from those of absence and presence of each, as forests of several outputs give."""
    columns = []
    for number, (probabilities, known) in enumerate(zip(answer, classes, strict=True)):
        if not set(np.asarray(known).tolist()) <= {0, 1}:
            raise UsageError(
                f"output {number} of the model is one of {len(known)} classes, and it has {len(classes)} outputs",
                "explain one output at a time: a function that returns its probabilities",
            )
        present = list(known).index(1) if 1 in list(known) else None
        columns.append(np.zeros(len(probabilities)) if present is None else probabilities[:, present])
    return np.stack(columns, axis=1)
