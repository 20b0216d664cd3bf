"""Products, quotients and generated weights, however they are written: DeepLift, LRP and guided methods refuse them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.builders import TABLE, make_inputs, make_view
from helpers.explainer_cases import run
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor

METHODS = ("deep_lift", "lrp", "guided_backprop", "deconvolution")


def rows(h: Tensor) -> Tensor:
    return h.unsqueeze(1)


def columns(h: Tensor) -> Tensor:
    return h.unsqueeze(2)


def gram(h: Tensor) -> Tensor:
    """(N, 3, 4) to (N, 12), through the 3 x 3 products of its rows."""
    parts = h.view(-1, 3, 4)
    return functional.pad((parts @ parts.mT).flatten(1), (0, 3))


def in_place(h: Tensor) -> Tensor:
    h = h + 0
    h *= h
    return h


def generated(h: Tensor) -> Tensor:
    return h[0].repeat(12, 1)


PRODUCTS: dict[str, Any] = {
    "h * h": lambda h: h * h,
    "mul": lambda h: torch.mul(h, other=h),
    "mul_": lambda h: (h + 0).mul_(h),
    "imul": in_place,
    "a view times itself": lambda h: h * h.view_as(h),
    "a clone times itself": lambda h: h * h.clone(),
    "aten mul": lambda h: torch.ops.aten.mul(h, h),
    "aten mul overload": lambda h: torch.ops.aten.mul.Tensor(h, h),
    "power": lambda h: h**2,
    "rpow": lambda h: 2**h,
    "pow": lambda h: torch.pow(h, 3),
    "float_power": lambda h: torch.float_power(h, 2).float(),
    "square": torch.square,
    "sqrt": lambda h: (h.abs() + 1).sqrt(),
    "einsum": lambda h: torch.einsum("bi,bi->bi", h, h),
    "einsum of a list": lambda h: torch.einsum("bi,bi->bi", [h, h]),
    "einsum to a sum": lambda h: torch.einsum("bi,bi->b", h, h).unsqueeze(1).expand(-1, 12),
    "bmm": lambda h: torch.bmm(rows(h), columns(h)).expand(-1, 12, 1).squeeze(2),
    "h @ h.T": lambda h: (h @ h.T) @ torch.ones(len(h), 12),
    "matmul of itself": lambda h: torch.matmul(h, h[0].expand(12, 12)),
    "gram": gram,
    "dot": lambda h: torch.stack([torch.dot(a, a) for a in h]).unsqueeze(1).expand(-1, 12),
    "inner": lambda h: torch.inner(h, h) @ torch.ones(len(h), 12),
    "vdot": lambda h: torch.stack([torch.vdot(a, a) for a in h]).unsqueeze(1).expand(-1, 12),
    "linalg.vecdot": lambda h: torch.linalg.vecdot(h, h).unsqueeze(1).expand(-1, 12),
    "outer": lambda h: torch.stack([torch.outer(a, a).sum(1) for a in h]),
    "kron": lambda h: torch.kron(h, h[:1])[:, :12],
    "tensordot": lambda h: torch.tensordot(h, h, dims=([1], [1])) @ torch.ones(len(h), 12),
    "addmm": lambda h: torch.addmm(torch.zeros(12), h, h[0].expand(12, 12)),
    "baddbmm": lambda h: torch.baddbmm(torch.zeros(len(h), 12, 12), columns(h), rows(h)).sum(2),
    "addcmul": lambda h: torch.addcmul(h, h, h),
    "addcdiv": lambda h: torch.addcdiv(h, torch.ones(12), 2 + h.abs()),
    "bilinear": lambda h: functional.bilinear(h, h, torch.ones(12, 12, 12)),
    "conv with own weights": lambda h: functional.conv1d(rows(h), h[:1, :3].view(1, 1, 3), padding=1).squeeze(1),
    "conv of a constant": lambda h: functional.conv1d(
        torch.ones(len(h), 1, 12), h[:1, :3].view(1, 1, 3), padding=1
    ).squeeze(1),
    "linear with own weights": lambda h: functional.linear(h, generated(h)),
    "linear of a constant with own weights": lambda h: functional.linear(torch.ones(len(h), 12), weight=generated(h)),
    "batch norm with own scale": lambda h: functional.batch_norm(h, torch.zeros(12), torch.ones(12), weight=h[0]),
    "div": lambda h: h / (3 + h),
    "div of a constant": lambda h: torch.div(torch.ones(12), 3 + h),
    "rdiv": lambda h: 1 / (3 + h),
    "div in place": lambda h: (h + 0).div_(3 + h),
    "reciprocal": lambda h: (3 + h).reciprocal(),
    "rounding division": lambda h: torch.div(h, 0.3, rounding_mode="floor"),
    "prod": lambda h: h.prod(dim=1, keepdim=True).expand(-1, 12),
    "cumprod": lambda h: h.cumprod(dim=1),
    "exp": torch.exp,
    "log": lambda h: torch.log(h.abs() + 1),
    "lerp by itself": lambda h: torch.lerp(h, torch.ones(12), h),
    "attention": lambda h: (h.view(-1, 3, 4) @ h.view(-1, 3, 4).mT).softmax(2).bmm(h.view(-1, 3, 4)).flatten(1),
    "fused attention": lambda h: functional.scaled_dot_product_attention(*[h.view(-1, 3, 4)] * 3).flatten(1),
    "softmax weighted sum": lambda h: h * h.softmax(1),
    "glu": lambda h: functional.glu(h.repeat(1, 2)),
    "gate written out": lambda h: h[:, :6].repeat(1, 2) * torch.sigmoid(h[:, 6:]).repeat(1, 2),
    "silu written out": lambda h: h * torch.sigmoid(h),
    "silu with exp": lambda h: h / (1 + torch.exp(-h)),
    "gelu written out": lambda h: 0.5 * h * (1 + torch.erf(h / 2**0.5)),
    "layer norm written out": lambda h: (h - h.mean(1, keepdim=True)) / h.std(1, keepdim=True),
    "unit length": lambda h: h / h.norm(dim=1, keepdim=True),
    "squeeze and excite": lambda h: h * torch.relu(h.mean(1, keepdim=True)),
    "cosine": lambda h: functional.cosine_similarity(h, torch.ones(12), dim=1).unsqueeze(1).expand(-1, 12),
    "distance": lambda h: torch.cdist(h, torch.ones(12, 12)),
    "a number of its own": lambda h: h * h.max().item(),
    "a list of numbers": lambda h: h * torch.tensor(h[0].tolist()),
    "a float": lambda h: h * float(h.detach().max()),
    "numpy": lambda h: h * torch.from_numpy(h.detach().numpy()),
    "dropout": lambda h: functional.dropout(h, 0.5),
}  # fmt: skip


class Net(nn.Module):
    def __init__(self, middle: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.middle = nn.Linear(6, 12), nn.Linear(12, 3), middle
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.last(self.middle(self.first(inputs)))
        return out


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case", PRODUCTS)
def test_what_is_not_linear_is_refused_however_it_is_written(name, case):
    if case == "linear of a constant with own weights" and name in ("guided_backprop", "deconvolution"):
        pytest.skip("linear in the weights, so that there is no activation to refuse")
    view = make_view(Net(PRODUCTS[case]), make_inputs(TABLE, 8), targets=torch.zeros(8, dtype=torch.int64))
    with pytest.raises(UnsupportedError):
        run(name, view)


LINEAR: dict[str, Any] = {
    "times a constant": lambda h: h * torch.arange(12),
    "a constant times it": lambda h: torch.arange(12) * h,
    "divided by a constant": lambda h: h / torch.arange(1, 13),
    "h + h": lambda h: h + h,
    "h - its mean": lambda h: h - h.mean(1, keepdim=True),
    "twice in a sum": lambda h: torch.add(h, h, alpha=3),
    "einsum with a constant": lambda h: torch.einsum("bi,ij->bj", h, torch.ones(12, 12)),
    "constant @ h": lambda h: (torch.ones(12, 12) @ h.unsqueeze(2)).squeeze(2),
    "conv": lambda h: functional.conv1d(rows(h), torch.ones(1, 1, 3), padding=1).squeeze(1),
    "cat with itself": lambda h: torch.cat([h, h], dim=1)[:, 6:18],
    "stack": lambda h: torch.stack([h, 2 * h, -h]).sum(0),
    "in place": lambda h: (h + 0).mul_(2).add_(1),
    "shape of another": lambda h: h.view(-1).view_as(h).expand_as(h).type_as(h),
    "dropout that is off": lambda h: functional.dropout(functional.dropout(h, 0.5, training=False), p=0.0),
}


@pytest.mark.parametrize("case", LINEAR)
def test_what_is_linear_has_its_closed_form(case):
    view = make_view(Net(LINEAR[case]), make_inputs(TABLE))
    expected = run("input_x_gradient", view)
    for name, params in (("deep_lift", {}), ("lrp", {"rule": "epsilon"})):
        torch.testing.assert_close(run(name, view, **params), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(run("guided_backprop", view), run("gradient", view))


class Squares(nn.Module):
    """Half the numbers of the report: f(x) = sum of squares."""

    def __init__(self, squares: Any) -> None:
        super().__init__()
        self.squares = squares

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.squares(inputs)
        return out


@pytest.mark.parametrize("name", ["deep_lift", "lrp"])
@pytest.mark.parametrize(
    "squares",
    [
        lambda x: torch.einsum("bi,bi->b", x, x),
        lambda x: (x * x).sum(1),
        lambda x: torch.bmm(rows(x), columns(x)).flatten(1),
    ],
)
def test_the_sum_of_squares_of_the_report(name, squares):
    x = torch.tensor([[1.0, 3.0, 0.0, 0.0], [1.0, 2.0, -1.0, 0.5]])
    view = make_view(TorchPredictor(Squares(squares), "value"), x, targets=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UnsupportedError, match="products"):
        run(name, view)
