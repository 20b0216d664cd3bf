"""Data sets as loaders and generators give them, before any model is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from xaibench.core.errors import DataError
from xaibench.core.features import FeatureKind
from xaibench.core.keys import array_digest, digest

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Intervention:
    """A causal check of a problem's truth: the test set with something changed, and what must follow.

    Parameters
    ----------
    name : str
        For example ``"null blocks swapped"``.
    inputs : array (M, *input_shape), float32
    targets : array (M,), int64
    max_drop : float, optional
        Accuracy may fall by at most this much below the clean accuracy on the same rows.
    at_most : float, optional
        Accuracy may be at most this.
    rows : array (M,), int64
        Row of the test set that each changed input came from.
    """

    name: str
    inputs: Array
    targets: Array
    rows: Array
    max_drop: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Data:
    """Train and test split of a data set, ready for a model.

    Parameters
    ----------
    features : {"image", "table", "series", "tokens"}
    train_inputs, test_inputs : array (N, *input_shape), float32
    train_targets, test_targets : array (N,), int64
    test_rows : array (N, ...), optional
        The raw rows behind ``test_inputs`` (before scaling); random draws are keyed by their bytes.
    feature_names, class_names : tuple of str
    test_mask : array (N, *feature_shape) of bool, optional
        Ground truth: the features that matter, per test sample.
    train_mask : array (N, *feature_shape) of bool, optional
        The same per training sample, for metrics that explain the training data.
    truth_kind : {"model", "data", "circuit", "program"}
        What the masks are the truth about.
    interventions : tuple of Intervention
        Causal checks that make the truth true; they become gates of the problem.
    accuracy_floor : float
        Held-out accuracy below which a model is not worth explaining.
    """

    features: FeatureKind
    train_inputs: Array
    train_targets: Array
    test_inputs: Array
    test_targets: Array
    test_rows: Array | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    test_mask: Array | None = None
    truth_kind: str = "model"
    interventions: tuple[Intervention, ...] = field(default=())
    accuracy_floor: float = 0.0
    train_mask: Array | None = None

    def __post_init__(self) -> None:
        for split in ("train", "test"):
            inputs, targets = getattr(self, f"{split}_inputs"), getattr(self, f"{split}_targets")
            if len(inputs) != len(targets) or len(inputs) == 0:
                raise DataError(f"{split} split has {len(inputs)} inputs and {len(targets)} targets")
            if inputs.dtype != np.float32 or targets.dtype != np.int64:
                raise DataError(
                    f"{split} split is {inputs.dtype} with targets {targets.dtype}",
                    "inputs are float32, targets int64",
                )
            if not np.isfinite(inputs).all():
                raise DataError(f"{split} inputs hold NaN or infinity")
            mask = getattr(self, f"{split}_mask")
            if mask is not None and len(mask) != len(inputs):
                raise DataError(f"{split} split has {len(inputs)} inputs and {len(mask)} masks")

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.train_inputs.shape[1:])

    @property
    def n_classes(self) -> int:
        return len(self.class_names) or int(self.train_targets.max()) + 1

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that a model, a draw, a truth or a gate can depend on."""
        arrays = (self.train_inputs, self.train_targets, self.test_inputs, self.test_targets)
        optional = [None if a is None else array_digest(a) for a in (self.test_rows, self.test_mask)]
        # Only where there is one: keys of data sets without it stay what they were.
        optional += [] if self.train_mask is None else [array_digest(self.train_mask)]
        checks = [
            [c.name, c.max_drop, c.at_most, *(array_digest(a) for a in (c.inputs, c.targets, c.rows))]
            for c in self.interventions
        ]
        facts = [self.features, self.truth_kind, self.accuracy_floor, list(self.class_names)]
        return digest(facts, [array_digest(a) for a in arrays], optional, checks)
