"""The convolutional network for series."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xaibench.core.data import Data
from xaibench.models.series_cnn import SeriesNetwork, series_cnn


def data_of(shape: tuple[int, ...], axes: str = "") -> Data:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, *shape)).astype(np.float32)
    y = rng.integers(3, size=40)
    x[y == 1] += 2
    x[y == 2] -= 2
    return Data("series", x, y, x, y, axes=axes)


@pytest.mark.parametrize(("shape", "axes"), [((30,), ""), ((20, 2), ""), ((2, 20), "NCT"), ((1,), "")])
def test_series_of_any_shape_are_learned(shape: tuple[int, ...], axes: str) -> None:
    data = data_of(shape, axes)
    net = series_cnn(data, seed=0, epochs=10)
    assert net(torch.from_numpy(data.test_inputs)).shape == (40, 3)
    assert (net(torch.from_numpy(data.test_inputs)).argmax(1).numpy() == data.test_targets).mean() > 0.8


def test_the_order_of_the_axes_is_that_of_the_data() -> None:
    torch.manual_seed(0)
    net = SeriesNetwork(2, 3, sensors_first=False).eval()
    turned = SeriesNetwork(2, 3, sensors_first=True).eval()
    turned.load_state_dict(net.state_dict())
    x = torch.randn(5, 20, 2)
    torch.testing.assert_close(net(x), turned(x.mT.contiguous()))
