"""The reference that never depends on the explanation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import TABLE, linear, make_evaluation, make_inputs, make_view
from sklearn.linear_model import LinearRegression

import xaibench as xb
from xaibench.core.registry import get
from xaibench.core.scoring import score


def test_it_is_the_probability_of_the_target():
    net, inputs = linear(TABLE), make_inputs(TABLE)
    targets = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    view = make_view(net, inputs, targets=targets)
    spec = get("metric", "confidence")
    wanted = net(inputs).softmax(dim=1)[torch.arange(8), targets].detach()
    for maps in (torch.ones(8, 6), torch.zeros(8, 6), torch.randn(8, 6)):
        torch.testing.assert_close(score(spec, {}, make_evaluation(view, maps)).values, wanted)


def test_a_regression_has_none():
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    model = LinearRegression().fit(x, x.sum(axis=1))
    with pytest.raises(xb.UnsupportedError):
        xb.score("confidence", model=model, inputs=x, attributions=x)
