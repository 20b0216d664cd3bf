"""Boosters of XGBoost and LightGBM without a scikit-learn class, which say by their objective what they return."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from xaibench.core.errors import UsageError
from xaibench.core.outputs import Returns
from xaibench.core.types import Array
from xaibench.models.frame_inputs import rows_for

if TYPE_CHECKING:
    from xaibench.core.frames.codec import FrameCodec

_BINARY = ("binary:logistic", "binary:logitraw")
_CLASSES = "multi:softprob"


def is_xgboost_booster(model: Any) -> bool:
    """Whether a model is an ``xgboost.Booster``, told by its name, so that XGBoost is imported for no other model."""
    return _is_booster_of(model, "xgboost")


def is_lightgbm_booster(model: Any) -> bool:
    """Whether a model is a ``lightgbm.Booster``."""
    return _is_booster_of(model, "lightgbm")


def _is_booster_of(model: Any, library: str) -> bool:
    return any(c.__name__ == "Booster" and c.__module__.partition(".")[0] == library for c in type(model).__mro__)


def lightgbm_function(
    booster: Any, returns: str | None, codec: FrameCodec | None = None
) -> tuple[Callable[[Array], Array], Returns]:
    """The function of a booster of LightGBM, and what its numbers are; see `booster_function`.

    Probabilities where the objective is ``binary`` or ``multiclass``, else values.

    Raises
    ------
    UsageError
        If the booster cannot return this.
    """
    objective = str(booster.dump_model(num_iteration=1).get("objective", "")).partition(" ")[0]
    possible: tuple[Returns, ...] = ("probability", "logit") if objective in ("binary", "multiclass") else ("value",)
    chosen = next((r for r in possible if r == returns), possible[0] if returns is None else None)
    if chosen is None:
        raise UsageError(
            f"a booster with objective {objective} cannot return {returns}", f"it can return {' or '.join(possible)}"
        )
    rows = rows_for(booster, codec) if codec is not None else lambda inputs: inputs.reshape(len(inputs), -1)

    def function(inputs: Array) -> Array:
        raw = np.asarray(booster.predict(rows(inputs), raw_score=chosen == "logit"))
        if objective == "binary":
            return np.stack([-raw / 2, raw / 2] if chosen == "logit" else [1 - raw, raw], axis=1)
        return raw

    return function, chosen


def booster_function(
    booster: Any, returns: str | None, codec: FrameCodec | None = None
) -> tuple[Callable[[Array], Array], Returns]:
    """The function from inputs (N, D) to outputs (N, C) of a booster, and what its numbers are.

    Parameters
    ----------
    booster : xgboost.Booster
    returns : {"probability", "logit", "value"}, optional
        By default probabilities where the objective is ``binary:logistic`` or ``multi:softprob``, logits where it is
        ``binary:logitraw``, else values. Logits are the margins before the link function; one logit of two classes
        is split in halves, so that their difference is the logit.
    codec : FrameCodec, optional
        How rows become the data frame that the booster was trained on.

    Raises
    ------
    UsageError
        If the booster cannot return this; ``multi:softmax`` returns class numbers only.
    """
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    possible: tuple[Returns, ...] = ("value",)
    if objective in _BINARY or objective == _CLASSES:
        possible = ("logit",) if objective == "binary:logitraw" else ("probability", "logit")
    elif objective == "multi:softmax":
        possible = ("logit",)
    chosen = next((r for r in possible if r == returns), possible[0] if returns is None else None)
    if chosen is None:
        raise UsageError(
            f"a booster with objective {objective} cannot return {returns}", f"it can return {' or '.join(possible)}"
        )

    frame = rows_for(booster, codec) if codec is not None and booster.feature_names else None

    def function(inputs: Array) -> Array:
        import xgboost

        if frame is None:
            rows = xgboost.DMatrix(inputs.reshape(len(inputs), -1), feature_names=booster.feature_names)
        else:
            rows = xgboost.DMatrix(frame(inputs), enable_categorical=True)
        raw = np.asarray(booster.predict(rows, output_margin=chosen == "logit"))
        if objective in _BINARY and raw.ndim == 1:
            return np.stack([-raw / 2, raw / 2] if chosen == "logit" else [1 - raw, raw], axis=1)
        return raw

    return function, chosen
