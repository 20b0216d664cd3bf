"""Context: inputs of a model that are not explained, and samples encoded as inputs and context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from xaibench.core.features import FeatureLayout

Context = Mapping[str, Tensor]
"""What goes to the model beside the inputs, by name: tensors (N, ...), a row for every input."""


@dataclass(frozen=True)
class Encoded:
    """Samples of one size as the model is evaluated and differentiated in.

    Attributes
    ----------
    inputs : Tensor (N, *input_shape)
    context : mapping of str to Tensor (N, ...)
        What the model needs beside them, by name.
    layout : FeatureLayout
        Of these inputs.
    """

    inputs: Tensor
    context: Context
    layout: FeatureLayout


def context_rows(context: Context | None, rows: Tensor | slice) -> dict[str, Tensor]:
    """The rows of a context that belong to some of the samples; empty without a context."""
    return {name: values[rows] for name, values in (context or {}).items()}


def check_context(context: Context | None, n: int) -> None:
    """Raise ValueError unless the context has a row for each of ``n`` inputs."""
    for name, values in (context or {}).items():
        if len(values) != n:
            raise ValueError(f"context {name!r} has {len(values)} rows for {n} inputs")
