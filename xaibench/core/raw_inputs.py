"""Rows as a data set has them, given to the model: what gates and recipes call it with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from xaibench.core.features import raw_layout
from xaibench.core.groups import predict_groups
from xaibench.core.predictor import Predictor
from xaibench.core.tokens import text_sizes
from xaibench.core.types import Array


def predict_raw(model: Predictor, inputs: Array, context: Mapping[str, Array] | None = None) -> Tensor:
    """Raw outputs (N, C) of rows of a data set, each with its context; texts are encoded, size by size.

    Parameters
    ----------
    model : Predictor
    inputs : array (N, *input_shape)
        As `Data` has them.
    context : mapping of str to array (N, ...), optional
    """
    beside = {name: torch.from_numpy(values).to(model.device) for name, values in (context or {}).items()}
    given = torch.from_numpy(inputs)
    if not model.encodes_ids:
        return model.predict(given, beside or None)
    sizes, layout = torch.from_numpy(text_sizes(inputs)), raw_layout(tuple(inputs.shape[1:]))
    return predict_groups(model, given.to(model.device), sizes.to(model.device), layout, beside or None)
