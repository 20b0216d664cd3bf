"""Recipes fitted again, to other data: kept, apart from each other, and without a trace in global state."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import make_data
from torch import nn

from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import DataError, UnsupportedError, UsageError
from xaibench.core.predictor import TorchPredictor
from xaibench.core.registry import get
from xaibench.core.retraining import own_generators, retraining_seed, variant
from xaibench.models import training
from xaibench.models.obtain import obtain
from xaibench.models.retraining import RecipeRetraining

SMALL = {"epochs": 1, "width": 8}


def retraining(
    data: Data, model: str | ModelSpec = "mlp", params: dict[str, Any] | None = None, cache: Path | None = None
) -> RecipeRetraining:
    spec = get("model", model) if isinstance(model, str) else model
    assert isinstance(spec, ModelSpec)
    bound = spec.bind(params if params is not None else SMALL)
    fitted = obtain(spec, bound, data, seed=0, cache=cache)
    return RecipeRetraining(data, spec, bound, fingerprint=fitted.fingerprint, cache=cache)


def permuted(data: Data) -> Data:
    return variant(data, train_targets=data.train_targets[::-1].copy())


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Epochs of every training that really happens."""
    done: list[int] = []
    fit = training._fit

    def counted(module: Any, data: Any, epochs: int, *rest: Any) -> None:
        done.append(epochs)
        fit(module, data, epochs, *rest)

    monkeypatch.setattr(training, "_fit", counted)
    return done


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.module.parameters()])


def test_a_model_is_what_its_recipe_gives_for_these_data_and_this_seed(fits: list[int]) -> None:
    data, again = make_data(), retraining(make_data())
    expected = obtain(get("model", "mlp"), get("model", "mlp").bind(SMALL), permuted(data), seed=5)  # type: ignore[arg-type]
    found = again.fit(permuted(data), 5)
    assert isinstance(found, TorchPredictor)
    assert torch.equal(weights(found), torch.cat([p.detach().flatten() for p in expected.model.parameters()]))
    fits.clear()
    assert again.fit(permuted(data), 5) is found
    assert not fits
    for other in (again.fit(permuted(data), 6), again.fit(data, 5)):
        assert not torch.equal(weights(other), weights(found))
    assert fits == [1, 1]


def test_models_are_found_on_disk(tmp_path: Path, fits: list[int]) -> None:
    data = make_data()
    first = weights(retraining(data, cache=tmp_path).fit(permuted(data), 5))
    fits.clear()
    assert torch.equal(weights(retraining(data, cache=tmp_path).fit(permuted(data), 5)), first)
    assert not fits


@pytest.mark.slow
def test_another_recipe_comes_with_its_own_parameters(fits: list[int]) -> None:
    data = make_data()
    again = retraining(data)
    found = again.fit(data, 1, recipe="softmax_regression")
    assert sum(isinstance(m, nn.Linear) for m in found.module.modules()) == 1
    again.fit(data, 1, epochs=3)
    assert fits == [1, 15, 3]
    assert again.fit(data, 1, recipe="random_forest", epochs=3).module is None
    table = make_data((6,))
    with pytest.raises(UsageError, match=r"'cnn' takes image data"):
        retraining(table).fit(table, 1, recipe="cnn")


def test_only_the_latest_models_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecipeRetraining, "MODELS_IN_MEMORY", 2)
    again = retraining(make_data())
    one, two = again.fit(make_data(), 1), again.fit(make_data(), 2)
    assert again.fit(make_data(), 1) is one
    again.fit(make_data(), 3)
    assert again.fit(make_data(), 1) is one
    assert again.fit(make_data(), 2) is not two


def draws_from_global_generators(data: Data) -> nn.Module:
    """A recipe that takes no seed, and leaves the global generators elsewhere."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(data.train_inputs[0].size, data.n_classes))
    with torch.no_grad():
        net[1].bias.fill_(np.random.rand() + random.random())  # noqa: NPY002
    return net.eval()


def fixed(data: Data) -> nn.Module:
    """A recipe that trains nothing."""
    with own_generators(0):
        return nn.Sequential(nn.Flatten(), nn.Linear(data.train_inputs[0].size, data.n_classes)).eval()


def test_recipes_that_draw_globally_are_seeded_and_leave_nothing_behind() -> None:
    again = retraining(make_data(), ModelSpec("global", draws_from_global_generators), {})
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = weights(again.fit(permuted(make_data()), 1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    torch.rand(3)
    again = retraining(make_data(), ModelSpec("global", draws_from_global_generators), {})
    assert torch.equal(weights(again.fit(permuted(make_data()), 1)), first)
    assert not torch.equal(weights(again.fit(permuted(make_data()), 2)), first)


def test_a_model_that_does_not_depend_on_the_data_is_refused() -> None:
    again = retraining(make_data(), ModelSpec("fixed", fixed), {})
    for changed in (permuted(make_data()), variant(make_data(), train_inputs=make_data().train_inputs + 1)):
        with pytest.raises(UnsupportedError, match="model fixed has the same weights whatever the data"):
            again.fit(changed, 1)
    assert again.fit(variant(make_data()), 1).module is not None


def test_a_variant_keeps_the_classes_and_drops_what_no_model_learns_from() -> None:
    data = replace(make_data(), class_names=(), accuracy_floor=0.9)
    few = variant(data, train_inputs=data.train_inputs[:1], train_targets=np.zeros(1, dtype=np.int64))
    assert few.n_classes == data.n_classes > 1
    assert few.accuracy_floor == 0
    assert few.test_rows is None
    assert np.array_equal(few.test_inputs, data.test_inputs)
    assert variant(data).fingerprint == variant(replace(data, accuracy_floor=0.1)).fingerprint


def test_masks_belong_to_the_content_and_are_counted() -> None:
    data = make_data()
    mask = np.zeros((len(data.train_inputs), 2), dtype=bool)
    masked = replace(data, train_mask=mask)
    assert len({data.fingerprint, masked.fingerprint, replace(data, train_mask=~mask).fingerprint}) == 3
    with pytest.raises(DataError, match=r"train split has \d+ inputs and 3 masks"):
        replace(data, train_mask=mask[:3])


def test_seeds_fit_every_library() -> None:
    seeds = {retraining_seed("a", i) for i in range(100)}
    assert len(seeds) == 100
    assert 0 <= min(seeds) <= max(seeds) < 2**31
