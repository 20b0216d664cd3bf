"""The other inputs of a model go to it in a number type that it takes, and lose no digits on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb


class Two(nn.Module):
    """Linear in the first input; its slope is the first weight times 1."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3, dtype=dtype), nn.Linear(2, 3, dtype=dtype)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.a(a) + self.b(b)


@pytest.mark.parametrize("model_type", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("context_type", [torch.float32, torch.float64])
def test_a_module_gets_its_context_in_its_own_number_type(model_type: torch.dtype, context_type: torch.dtype) -> None:
    torch.manual_seed(0)
    net = Two(model_type).eval()
    a, b = torch.randn(5, 4), torch.randn(5, 2, dtype=context_type)
    found = xb.explain("gradient", model=net, inputs=a, context={"b": b}, targets=[0, 1, 2, 0, 1], output="logit")
    weights = net.a.weight.detach().float().numpy()
    assert np.allclose(found, weights[[0, 1, 2, 0, 1]], atol=1e-6)
    scores = xb.score("pixel_flipping", model=net, inputs=(a, b), explain="gradient")
    assert np.isfinite(scores).all()


def test_a_function_sees_every_digit_of_its_context() -> None:
    def rate(x: Any, t: Any) -> Any:
        return np.stack([x[:, 0] * (t - 1.7e9), x[:, 1]], axis=1)

    found = xb.explain(
        "occlusion", model=rate, inputs=[[5.0, 1.0]], context={"t": np.array([1.7e9 + 3])}, returns="value", targets=[0]
    )
    assert np.allclose(found, [[15.0, 0.0]])


def test_whole_numbers_beside_a_linear_layer_are_explained_in_one_sentence() -> None:
    with pytest.raises(xb.UsageError, match="same dtype") as caught:
        xb.explain(
            "occlusion", model=Two(torch.float32).eval(), inputs=torch.ones(2, 4), context={"b": [[1, 2], [3, 4]]}
        )
    assert "context" in (caught.value.hint or "")
