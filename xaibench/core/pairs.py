"""Pairs: the samples of a problem seen otherwise, by another model or with other inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from xaibench.core.predictor import Predictor

if TYPE_CHECKING:
    from xaibench.core.data import Array, Data
    from xaibench.core.problem import Truth


@dataclass(frozen=True)
class PairSource:
    """What a data set says about a pair, before any model is there.

    Attributes
    ----------
    need : str
        What it offers to metrics: ``model_pair.NAME`` or ``input_pair.NAME``. Several sources may
        share a need; their order is kept.
    identity : str
        Name and parameters of what is behind it, for the fingerprint.
    data : callable without arguments, optional
        The data set that the other model is fitted to, by the problem's own recipe and seed.
    inputs : array (N, *input_shape), float32, optional
        Other inputs for the test samples.
    labels : array (N,), int64, optional
        What the other model should say about the test samples, or the model about the other inputs.
    level : float, optional
        A number that orders the sources of one need. A source of a model pair that brings nothing
        else stands for the problem's own model in that order.
    truth : array (N, *feature_shape), optional
        What is true of the pair, for explainers that are given the truth: which features matter
        (bool), or how much (float32).
    """

    need: str
    identity: str
    data: Callable[[], Data] | None = None
    inputs: Array | None = None
    labels: Array | None = None
    level: float | None = None
    truth: Array | None = None


@dataclass(frozen=True)
class Pair:
    """N samples seen otherwise.

    Attributes
    ----------
    model : callable without arguments, or None
        Gives the other model (fitted, or taken from the cache, when it is first asked for).
    inputs : Tensor (N, *input_shape) or None
    labels : Tensor (N,) of int64 or None
    level : float or None
    truth : Truth or None
        What is true of these samples as they are seen here.
    """

    model: Callable[[], Predictor] | None = None
    inputs: Tensor | None = None
    labels: Tensor | None = None
    level: float | None = None
    truth: Truth | None = None

    def __getitem__(self, rows: slice | Tensor) -> Pair:
        inputs, labels = (None if t is None else t[rows] for t in (self.inputs, self.labels))
        return Pair(self.model, inputs, labels, self.level, None if self.truth is None else self.truth[rows])
