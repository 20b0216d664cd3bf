"""Retraining with a caller's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from xaibench.api.frames import encode_like
from xaibench.api.inputs import ArrayLike, as_classes, as_tensor
from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.keys import digest
from xaibench.core.outputs import has_classes
from xaibench.core.predictor import Predictor
from xaibench.core.problem import ProblemView
from xaibench.core.retraining import own_generators
from xaibench.core.types import Array
from xaibench.models.adapters import as_predictor
from xaibench.models.first_look import look_at_data

RetrainWith = Callable[[Array, Array, int], Any]


class CallableRetraining:
    """Fits a model by a caller's function; see `Retraining`."""

    def __init__(self, data: Data, function: RetrainWith, returns: str | None, like: Predictor) -> None:
        self.data = data
        self._function = function
        self._returns = returns
        self._like = like
        self._fitted: dict[str, Predictor] = {}

    def fit(self, data: Data, seed: int, *, recipe: str | None = None, epochs: int | None = None) -> Predictor:
        """Fit a model from scratch, or find it; how long it is trained is up to the function."""
        if recipe is not None:
            raise UnsupportedError(f"recipe {recipe!r} cannot be combined with retrain=", "leave one of them out")
        key = digest(data.fingerprint, seed)
        if key not in self._fitted:
            with own_generators(seed):
                rows: Any = data.train_inputs.copy() if data.codec is None else data.train_frame
                model = self._function(rows, data.train_targets.copy(), seed)
            fitted = as_predictor(model, returns=self._returns, device=self._like.device, codec=data.codec)
            fitted = look_at_data(fitted, data, given=self._returns)
            columns = fitted.predict(torch.from_numpy(data.test_inputs[:1])).shape[1]
            if columns != self.data.n_classes:
                raise UsageError(
                    f"the retrained model has {columns} outputs, the one that is explained {self.data.n_classes}",
                    "keep a column for every class, also for those without a row in the training data",
                )
            self._fitted[key] = fitted
        return self._fitted[key]


def make_retraining(
    view: ProblemView,
    inputs: ArrayLike,
    targets: ArrayLike | None,
    retrain: RetrainWith | None,
    train: tuple[ArrayLike, ArrayLike] | None,
    returns: str | None,
) -> CallableRetraining:
    """What fits models again, from a caller's function and training data; the inputs are the test data."""
    if view.context:
        raise UnsupportedError("retrain= is given inputs and labels, and this model takes a context", "run a suite")
    if view.sizes is not None:
        raise UnsupportedError("metrics that retrain take no texts and no samples of different lengths")
    if retrain is None or train is None:
        raise UsageError("retraining needs both retrain= and train=", "train=(inputs, labels)")
    if targets is None:
        raise UsageError("retraining needs the labels of the inputs", "give them as targets=")
    rows = encode_like(view.codec, train[0], "train inputs")
    train_inputs, train_targets = as_tensor(rows).cpu(), as_classes(train[1], "train labels").cpu()
    if train_inputs.shape[1:] != view.inputs.shape[1:] or train_targets.shape != train_inputs.shape[:1]:
        raise UsageError(
            f"train has inputs of shape {tuple(train_inputs.shape)} and targets of shape {tuple(train_targets.shape)}",
            f"for these inputs it is (M, {', '.join(map(str, view.inputs.shape[1:]))}) and (M,)",
        )
    n_outputs = view.predict(view.inputs[:1], slice(0, 1)).shape[1]
    if has_classes(view.model.returns) and len(train_targets):
        low, high = int(train_targets.min()), int(train_targets.max())
        if low < 0 or high >= n_outputs:
            raise UsageError(f"train labels go from {low} to {high}, the model has {n_outputs} outputs")
    data = Data(
        view.layout.kind,
        train_inputs.to(torch.float32).numpy(),
        train_targets.numpy(),
        view.inputs.cpu().numpy(),
        view.targets.cpu().numpy(),
        test_rows=as_tensor(encode_like(view.codec, inputs, "inputs")).cpu().numpy(),
        class_names=tuple(str(i) for i in range(n_outputs)),
        feature_groups=view.layout.groups,
        categorical=[c for f in view.layout.categorical for c in view.layout.columns[f]],
        codec=view.codec,
    )
    return CallableRetraining(data, retrain, returns, view.model)
