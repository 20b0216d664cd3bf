"""The deeper network: its maps, its size, and that the order of its weights changes nothing but the speed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.predictor import hooked
from xaibench.core.registry import get
from xaibench.models.obtain import obtain


def data(side: int = 16, n: int = 96) -> Data:
    """Classes that differ in their colour."""
    rng = np.random.default_rng(0)
    targets = rng.integers(3, size=2 * n)
    inputs = rng.random((2 * n, 3, side, side)).astype(np.float32)
    inputs[np.arange(2 * n), targets] += 1
    return Data("image", inputs[:n], targets[:n], inputs[n:], targets[n:], class_names=("r", "g", "b"))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return get("model", "deep_cnn").function(data(), seed=0, epochs=4)


def test_the_last_maps_of_bam_are_8x8_and_there_are_163_thousand_parameters(network: nn.Module):
    shapes = []

    def note(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shapes.append(tuple(output.shape))

    convolutions = [m for m in network if isinstance(m, nn.Conv2d)]
    with hooked([m.register_forward_hook(note) for m in convolutions]), torch.no_grad():
        network(torch.zeros(1, 3, 64, 64))
    assert shapes == [(1, 16, 64, 64), (1, 32, 32, 32), (1, 64, 16, 16), (1, 96, 8, 8), (1, 96, 8, 8)]
    of_ten_classes = sum(p.numel() for p in network.parameters()) + 7 * (96 + 1)
    assert of_ten_classes == 163_290


def test_nothing_works_in_place_and_every_step_is_a_module(network: nn.Module):
    assert not any(getattr(m, "inplace", False) for m in network.modules())
    assert sum(isinstance(m, nn.ReLU) for m in network) == 5


def test_weights_from_the_cache_explain_the_same(tmp_path):
    spec = get("model", "deep_cnn")
    first, again = (obtain(spec, spec.bind({"epochs": 4}), data(), seed=1, cache=tmp_path) for _ in range(2))
    assert not first.from_cache
    assert again.from_cache
    assert first.accuracy > 0.9
    inputs = torch.from_numpy(data().test_inputs)
    with torch.no_grad():
        assert torch.equal(first.model(inputs), again.model(inputs))
