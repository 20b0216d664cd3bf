"""Retraining: fitting the model of a problem again on other data, for metrics that need it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch

from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import seed as derive_seed
from xaibench.core.predictor import Predictor
from xaibench.core.types import Array


class Retraining(Protocol):
    """The data set of a problem, and how its model is fitted.

    Equal arguments give the same model, and models are cached for a while: explainers that ask for the
    same one share it.
    """

    @property
    def data(self) -> Data:
        """The whole data set, train and test."""
        ...

    def fit(self, data: Data, seed: int, *, recipe: str | None = None, epochs: int | None = None) -> Predictor:
        """Fit a model from scratch.

        Parameters
        ----------
        data : Data
            For example from `variant`.
        seed : int
        recipe : str, optional
            A registered model, with its default parameters, instead of the problem's own recipe.
        epochs : int, optional
            Train this long, where the recipe has such a parameter.

        Raises
        ------
        UnsupportedError
            If this model cannot be fitted here, or comes out the same whatever the data.
        """
        ...


def require_retraining(retraining: Retraining | None) -> Retraining:
    """Return what fits models again, or raise UnsupportedError."""
    if retraining is None:
        raise UnsupportedError("this metric retrains the model", "pass retrain= and train=")
    return retraining


def retraining_seed(*names: object) -> int:
    """A seed of 31 bits, which every library takes, derived from names."""
    return derive_seed("retrain", *names) % 2**31


def variant(
    data: Data,
    *,
    train_inputs: Array | None = None,
    train_targets: Array | None = None,
    test_inputs: Array | None = None,
    test_targets: Array | None = None,
    train_context: Mapping[str, Array] | None = None,
    test_context: Mapping[str, Array] | None = None,
) -> Data:
    """The data set with other rows, and nothing that a model is not made from (truth, checks, raw rows).

    The classes stay, also where some have no row left. Other rows bring their context.
    """
    return Data(
        data.features,
        data.train_inputs if train_inputs is None else train_inputs,
        data.train_targets if train_targets is None else train_targets,
        data.test_inputs if test_inputs is None else test_inputs,
        data.test_targets if test_targets is None else test_targets,
        feature_names=data.feature_names,
        class_names=data.class_names or tuple(str(i) for i in range(data.n_classes)),
        facts=data.facts,
        tokens=data.tokens,
        train_context=data.train_context if train_context is None else train_context,
        test_context=data.test_context if test_context is None else test_context,
        axes=data.axes,
        feature_groups=data.feature_groups,
        categorical=data.categorical,
        codec=data.codec,
    )


@contextmanager
def own_generators(seed: int) -> Iterator[None]:
    """Seed the global generators for any code that draws from them, then restore their state."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        try:
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
