"""Retraining in closed form, for tests: a linear model of class means, on data without structure."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import nn

from xaibench.core.data import Data
from xaibench.core.predictor import Predictor, TorchPredictor
from xaibench.core.problem import ProblemView
from xaibench.core.retraining import own_generators


def centroid_classifier(data: Data, seed: int) -> nn.Module:
    """Nearest class mean of a resample of the training data, as logits of a linear layer."""
    rows = np.random.default_rng(seed).integers(len(data.train_inputs), size=len(data.train_inputs))
    x = torch.from_numpy(data.train_inputs[rows]).flatten(1)
    y = torch.from_numpy(data.train_targets[rows])
    weights = torch.stack([x[y == c].sum(dim=0) / max(int((y == c).sum()), 1) for c in range(data.n_classes)])
    module = nn.Sequential(nn.Flatten(), nn.Linear(x.shape[1], data.n_classes))
    module[1].load_state_dict({"weight": weights, "bias": -weights.square().sum(dim=1) / 2})
    return module.eval()


class Refit:
    """Fits `centroid_classifier`, and counts how often; `data` is noise with random labels unless given.

    Parameters
    ----------
    view : ProblemView
        Says what the inputs look like.
    data : Data, optional
    shuffle : array of int, optional
        New order of the input numbers.
    """

    def __init__(self, view: ProblemView, data: Data | None = None, shuffle: np.ndarray | None = None) -> None:
        self.view = view
        self.shuffle = shuffle
        self.n_fits = 0
        self._kept: dict[object, Predictor] = {}
        if data is not None:
            self.data = data

    @cached_property
    def data(self) -> Data:
        rng, shape = np.random.default_rng(7), tuple(self.view.inputs.shape[1:])
        n_classes = self.view.model.predict(self.view.inputs[:1]).shape[1]
        inputs = rng.standard_normal((90, *shape)).astype(np.float32)
        if self.shuffle is not None:
            inputs = inputs.reshape(90, -1)[:, self.shuffle].reshape(90, *shape)
        targets = np.arange(90) % n_classes
        return Data(self.view.layout.kind, inputs[:60], targets[:60], inputs[60:], targets[60:])

    def fit(self, data: Data, seed: int, *, recipe: str | None = None, epochs: int | None = None) -> Predictor:
        key = (data.fingerprint, seed, recipe, epochs)
        if key not in self._kept:
            self.n_fits += 1
            with own_generators(seed):
                self._kept[key] = TorchPredictor(self.build(data, seed))
        return self._kept[key]

    def build(self, data: Data, seed: int) -> nn.Module:
        """The model; for subclasses that fit another."""
        return centroid_classifier(data, seed)
