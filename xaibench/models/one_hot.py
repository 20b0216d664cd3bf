"""Recipes that take numbers on data sets with categories: a column for every category in front of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from xaibench.core.frames.codec import FrameCodec


@dataclass(frozen=True)
class OneHot:
    """Turns frames into numbers with a column for every category; missing and unknown categories are all zeros.

    Attributes
    ----------
    codec : FrameCodec
    codes : tuple of (int, array)
        Columns that hold categories, and the codes of these.
    """

    codec: FrameCodec
    codes: tuple[tuple[int, Array], ...]

    def __call__(self, rows: pd.DataFrame | Array) -> Array:
        """The columns (N, K) of a frame, float32: quantities first; of a table all of numbers also of encoded rows."""
        return self.columns(rows if isinstance(rows, np.ndarray) else self.codec.encode(rows))

    def columns(self, numbers: Array) -> Array:
        """The columns (N, K) of encoded rows (N, D)."""
        encoded = {column for column, _ in self.codes}
        quantities = [j for j in range(numbers.shape[1]) if j not in encoded]
        blocks = [numbers[:, [j]] == codes for j, codes in self.codes]
        return np.concatenate([numbers[:, quantities], *blocks], axis=1).astype(np.float32)


def build_one_hot(data: Data, build: Callable[[Data], Any], name: str) -> Any:
    """A model of a recipe that takes numbers, which is given frames with categories.

    Parameters
    ----------
    data : Data
        With a codec.
    build : callable
        Fits the recipe to a data set of numbers.
    name : str
        Of the recipe, for messages.

    Returns
    -------
    sklearn.pipeline.Pipeline
        The encoding and the fitted model.

    Raises
    ------
    UsageError
        If the recipe makes a torch module: its inputs are then not those that are explained.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    assert data.codec is not None
    codes = tuple((j, np.unique(c[~np.isnan(c)])) for j in data.codec.categorical for c in [data.train_inputs[:, j]])
    encoder = OneHot(data.codec, codes)
    numbers = replace(
        data,
        train_inputs=encoder.columns(data.train_inputs),
        test_inputs=encoder.columns(data.test_inputs),
        feature_names=(),
        background=None,
        codec=None,
        categorical=(),
        feature_groups=(),
        group_names=(),
        pairs=(),
    )
    model = build(numbers)
    if isinstance(model, nn.Module):
        first = data.codec.names[data.codec.categorical[0]]
        raise UsageError(
            f"model {name!r} takes numbers, and column {first!r} holds categories",
            "give a column for every category, one feature by feature_groups=, or a pipeline that encodes them",
        )
    return make_pipeline(FunctionTransformer(encoder), model)
