"""Conservation: relevance sums to the output itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import xaibench as xb

R = np.random.default_rng(0)
X = R.normal(size=(5, 4)).astype(np.float32)


@pytest.mark.parametrize(("row", "error"), [([2, -1, 3, 0], 0.0), ([0, 0, 0, 0], 1.0), ([4, 4, 0, 0], 1.0)])
def test_error_is_that_of_the_closed_form(row: list[float], error: float) -> None:
    model = lambda a: np.full((len(a), 1), 4.0)  # noqa: E731
    given = {"model": model, "returns": "value", "inputs": X[:1], "targets": 0}
    assert xb.score("conservation", attributions=np.array([row], np.float32), **given) == pytest.approx([error])


def test_relevance_keeps_the_output_without_biases_and_loses_them_with_epsilon() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    given = {"model": net, "inputs": X, "targets": 1, "returns": "logit"}
    with_biases = xb.score("conservation", explain="lrp", explainer_params={"rule": "epsilon"}, **given)
    assert (with_biases > 1e-3).all()
    assert xb.score("conservation", explain="full_grad", **given) == pytest.approx(np.zeros(5), abs=1e-4)
    positive = xb.score("conservation", explain="deep_taylor", rectified=True, **given)
    assert positive == pytest.approx(np.zeros(5), abs=1e-4)
    for layer in (net[0], net[2]):
        nn.init.zeros_(layer.bias)
    without = xb.score("conservation", explain="lrp", explainer_params={"rule": "epsilon", "epsilon": 1e-9}, **given)
    assert without == pytest.approx(np.zeros(5), abs=1e-4)
