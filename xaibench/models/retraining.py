"""Training recipes fitted again on other data, for metrics that retrain."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from xaibench.core import registry
from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec, check_features
from xaibench.core.errors import UnsupportedError
from xaibench.core.keys import digest
from xaibench.core.predictor import Predictor
from xaibench.core.retraining import own_generators
from xaibench.models.first_look import look_at_data
from xaibench.models.obtain import obtain
from xaibench.models.text_adapters import predictor_for


class RecipeRetraining:
    """Fits a registered recipe to other data; see `Retraining`.

    Modules are cached on disk like those of problems, and the models used last in memory.

    Parameters
    ----------
    data : Data
        Of the problem.
    model : ModelSpec
    params : mapping
        Bound parameters of the recipe.
    fingerprint : str
        That of the problem's own model, see `FittedModel`.
    cache : Path, optional
    device, batch_size
        Of the models, as for problems.
    """

    MODELS_IN_MEMORY = 32

    def __init__(
        self,
        data: Data,
        model: ModelSpec,
        params: Mapping[str, Any],
        *,
        fingerprint: str,
        cache: Path | None = None,
        device: str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        self.data = data
        self._recipe = (model, dict(params))
        self._fingerprint = fingerprint
        self._cache = cache
        self._device = device
        self._batch_size = batch_size
        self._fitted: OrderedDict[str, Predictor] = OrderedDict()

    def fit(self, data: Data, seed: int, *, recipe: str | None = None, epochs: int | None = None) -> Predictor:
        """Fit a model from scratch, or find it."""
        model, params = self._recipe
        if recipe is not None:
            model = cast(ModelSpec, registry.get("model", recipe))
            params = model.bind({})
            check_features(model, data.features)
        if epochs is not None and "epochs" in model.parameters:
            params = model.bind({**params, "epochs": epochs})
        key = digest(data.fingerprint, seed, model.name, params)
        if key not in self._fitted:
            self._fitted[key] = self._fit(model, params, data, seed)
            while len(self._fitted) > self.MODELS_IN_MEMORY:
                self._fitted.popitem(last=False)
        self._fitted.move_to_end(key)
        return self._fitted[key]

    def _fit(self, model: ModelSpec, params: Mapping[str, Any], data: Data, seed: int) -> Predictor:
        with own_generators(seed):
            fitted = obtain(model, params, data, seed=seed, device=self._device, cache=self._cache)
        given = model.returns or fitted.returns
        predictor = predictor_for(fitted.model, data, returns=given, device=self._device, batch_size=self._batch_size)
        predictor = look_at_data(predictor, data, given=given)
        same_weights = predictor.module is not None and fitted.fingerprint == self._fingerprint
        if same_weights and not _same_training(data, self.data):
            raise UnsupportedError(f"model {model.name} has the same weights whatever the data: it is not trained here")
        return predictor


def _same_training(a: Data, b: Data) -> bool:
    return np.array_equal(a.train_inputs, b.train_inputs) and np.array_equal(a.train_targets, b.train_targets)
