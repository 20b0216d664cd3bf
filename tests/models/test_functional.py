"""The network with functional ReLUs says what the one with modules says."""

from __future__ import annotations

import torch
from helpers.builders import make_data
from torch import nn

from xaibench.models.functional import functional_cnn
from xaibench.models.networks import cnn


def test_both_networks_have_the_same_outputs_and_only_one_has_modules() -> None:
    data = make_data()
    modules, functions = cnn(data, seed=0, epochs=1), functional_cnn(data, seed=0, epochs=1)
    inputs = torch.from_numpy(data.test_inputs)
    with torch.no_grad():
        torch.testing.assert_close(functions.eval()(inputs), modules.eval()(inputs), rtol=1e-6, atol=1e-6)
    kinds = [[type(m) for m in net.modules()] for net in (modules, functions)]
    assert kinds[0].count(nn.ReLU) == 3
    assert not {nn.ReLU, nn.MaxPool2d} & set(kinds[1])
