"""Missing values in what a caller gives: a model that does not take them is named, with column and sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xaibench.core.context import Context, context_rows
from xaibench.core.errors import UsageError
from xaibench.core.predictor import Predictor
from xaibench.core.user_errors import described


def check_missing(predictor: Predictor, inputs: Tensor, context: Context, names: Sequence[str]) -> None:
    """Raise UsageError if the model fails or gives NaN for a sample with missing values: it does not take them."""
    missing = torch.isnan(inputs).flatten(1).any(dim=1)
    if not bool(missing.any()):
        return
    try:
        raw = predictor.predict(inputs, context or None)
    except Exception as error:
        whole = (~missing).nonzero().flatten()
        if len(whole) == 0:  # The first look says why.
            return
        try:
            predictor.predict(inputs[whole], context_rows(context, whole) or None)
        except Exception:
            return
        row = int(missing.nonzero()[0])
        place = _column_of(int(torch.isnan(inputs[row].flatten()).nonzero()[0]), names)
        raise UsageError(
            f"the model does not take missing values, and {place} of sample {row} is missing: {described(error)}",
            "impute missing values, or use a model that takes them",
        ) from error
    lost = missing & torch.isnan(raw).any(dim=1).to(missing.device) if len(raw) == len(missing) else missing[:0]
    if bool(lost.any()):
        row = int(lost.nonzero()[0])
        place = _column_of(int(torch.isnan(inputs[row].flatten()).nonzero()[0]), names)
        raise UsageError(
            f"the model gives NaN for sample {row}, whose {place} is missing (NaN)",
            "impute missing values, or use a model that takes them",
        )


def _column_of(number: int, names: Sequence[str]) -> str:
    return f"column {names[number]!r}" if len(names) else f"column {number}"
