"""Activations in other spellings, and values that depend on the input without a gradient: followed or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.builders import RGB, TABLE, make_inputs, make_view
from helpers.explainer_cases import run
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.explainers.engines.tracing import TrackingMode, run_tracked
from xaibench.models import networks

RECTIFIERS = ("guided_backprop", "deconvolution")
RULES = ("deep_lift", "lrp")


class Net(nn.Module):
    """A hidden layer, any function as activation, an output layer."""

    def __init__(self, activation: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.activation = nn.Linear(6, 12), nn.Linear(12, 3), activation
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.last(self.activation(self.first(inputs)))
        return out


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad * ctx.saved_tensors[0]


def explain(name: str, activation: Any) -> Tensor:
    return run(name, make_view(Net(activation), make_inputs(TABLE)))


def zeros(h: Tensor) -> Tensor:
    return torch.zeros_like(h)


RELUS = {
    "clamp": lambda h: h.clamp(min=0),
    "clamp in place": lambda h: h.clamp_(min=0),
    "clamp by position": lambda h: torch.clamp(h, 0.0),
    "clamp by a tensor": lambda h: torch.clamp(h, min=torch.tensor(0.0)),
    "clip": lambda h: torch.clip(h, min=0, max=None),
    "clamp_min": lambda h: h.clamp_min(0),
    "maximum": lambda h: torch.maximum(h, torch.tensor(0.0)),
    "maximum, the other way": lambda h: torch.maximum(zeros(h), h),
    "binary max": lambda h: torch.max(h, other=h.new_zeros(())),
}


@pytest.mark.parametrize("name", RECTIFIERS)
@pytest.mark.parametrize("spelling", RELUS)
def test_other_spellings_of_relu_are_relu(name, spelling):
    expected = explain(name, torch.relu)
    assert not torch.allclose(expected, explain(name, lambda h: h))
    torch.testing.assert_close(explain(name, RELUS[spelling]), expected)


BENT = {
    "clamp": lambda h: h.clamp(min=0.5),
    "clamp ": lambda h: h.clamp(min=0, max=6),
    "clamp_max": lambda h: -torch.clamp_max(-h, 0),
    "maximum": lambda h: torch.maximum(h, 0.1 * h),
    "maximum ": lambda h: torch.maximum(h, torch.zeros(2, 1, 1)).sum(0),
    "fmax": lambda h: torch.fmax(h, torch.tensor(0.0)),
    "minimum": lambda h: -torch.minimum(-h, torch.tensor(0.0)),
    "abs": lambda h: (h + abs(h)) / 2,
    "sign": lambda h: h * torch.sign(h),
    "softsign": functional.softsign,
    "Hardtanh": functional.relu6,
    "Hardshrink": functional.hardshrink,
    "Square": Square.apply,
}


@pytest.mark.parametrize("name", RECTIFIERS)
@pytest.mark.parametrize("operation", BENT)
def test_other_piecewise_operations_are_refused_by_name(name, operation):
    with pytest.raises(UnsupportedError, match=rf"\b{operation.strip()}"):
        explain(name, BENT[operation])


def no_grad_mask(h: Tensor) -> Tensor:
    with torch.no_grad():
        mask = (h * 2).relu().bool()
    return h * mask


def written_mask(h: Tensor) -> Tensor:
    mask = zeros(h)
    mask[h > 0] = 1
    return h * mask


def copied_mask(h: Tensor) -> Tensor:
    return h * torch.ones(12).copy_(h[0].detach())


def no_grad_change(h: Tensor) -> Tensor:
    with torch.no_grad():
        h.mul_(0.5)
    return h


CUT = {
    "product": lambda h: h * (h > 0),
    "product by a number from a mask": lambda h: h * (h > 0).float().mean(dim=1, keepdim=True),
    "quotient": lambda h: h / (1 + h.detach().abs()),
    "sum": lambda h: h + h.detach(),
    "data": lambda h: h * h.data.mean(),
    "argmax": lambda h: h - h.new_zeros(h.shape) - h.argmax(dim=1, keepdim=True),
    "stack": lambda h: torch.stack([h, (h > 0).float()]).sum(0),
    "no_grad": no_grad_mask,
    "written mask": written_mask,
    "copied mask": copied_mask,
    "changed without gradient": no_grad_change,
    "index": lambda h: h[:, h.argsort(dim=1)[0]],
    "tensor": lambda h: h * h.new_tensor(0.5).copy_(h.detach().mean()),
}
CUT_SELECTIONS = {
    "where": lambda h: torch.where(h > 0, h, 0.0),
    "masked_fill": lambda h: h.masked_fill(h < 0, 0.0),
    "setitem": lambda h: h.clone().index_put_((h < 0,), torch.tensor(0.0)),
}


@pytest.mark.parametrize("name", [*RECTIFIERS, *RULES])
@pytest.mark.parametrize("case", CUT)
def test_values_without_a_gradient_are_not_constants(name, case):
    with pytest.raises(UnsupportedError, match="without a gradient"):
        explain(name, CUT[case])


@pytest.mark.parametrize("name", [*RECTIFIERS, *RULES])
@pytest.mark.parametrize("case", CUT_SELECTIONS)
def test_selections_by_the_input_are_refused(name, case):
    with pytest.raises(UnsupportedError, match=r"without a gradient|no rule"):
        explain(name, CUT_SELECTIONS[case])


def with_masks_of_its_own(h: Tensor) -> Tensor:
    mask = torch.arange(h.shape[1]) % 2 == 0
    h = h * mask.to(h) + mask.type_as(h).view_as(h[0]) - zeros(h) * 2
    return h + torch.full_like(h, 3.0) * h.new_tensor([2.0]) * h.new_ones(())


def looked_at(h: Tensor) -> Tensor:
    assert not torch.isnan(h).any()
    assert h.detach().abs().max() < 100
    return h * 1.0


@pytest.mark.parametrize("name", [*RECTIFIERS, *RULES])
@pytest.mark.parametrize("constant", [with_masks_of_its_own, looked_at])
def test_constants_and_values_that_are_only_looked_at_are_allowed(name, constant):
    assert torch.isfinite(explain(name, constant)).all()


def test_deep_lift_with_constant_masks_is_complete():
    view = make_view(Net(lambda h: with_masks_of_its_own(torch.relu(h))), make_inputs(TABLE))
    gap = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    torch.testing.assert_close(run("deep_lift", view).sum(dim=1), gap, rtol=1e-3, atol=1e-4)


LINEAR_PARTS = {
    "selection by constants": lambda h: torch.where(torch.arange(12) < 6, h, 0.0).masked_fill(torch.arange(12) > 9, 0),
    "pooling": lambda h: functional.max_pool1d(h.unsqueeze(1), 2).repeat(1, 1, 2).flatten(1),
    "maxima along axes": lambda h: h.view(-1, 12, 1).max(dim=2).values + h.view(-1, 12, 1).amax(2) - h.max() + h.min(),
    "layer norm": lambda h: functional.layer_norm(h, (12,)),
    "unit norm": functional.normalize,
    "softmax": lambda h: h.softmax(dim=1),
    "written into": lambda h: h.clone().index_fill_(1, torch.tensor([2]), 0.0),
}


@pytest.mark.parametrize("part", LINEAR_PARTS)
def test_without_an_activation_guided_backprop_is_the_gradient(part):
    view = make_view(Net(LINEAR_PARTS[part]), make_inputs(TABLE, 1))
    for name in RECTIFIERS:
        torch.testing.assert_close(run(name, view), run("gradient", view))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RECTIFIERS, *RULES])
@pytest.mark.parametrize("build", ["softmax_regression", "mlp", "cnn", "resnet"])
def test_shipped_networks_are_supported(name, build):
    inputs = make_inputs(RGB, 4)
    split = (inputs.numpy(), np.array([0, 1, 2, 0]))
    data = Data("image", *split, *split, class_names=("a", "b", "c"))
    net = getattr(networks, build)(data, seed=0, epochs=1)
    assert torch.isfinite(run(name, make_view(net.eval(), inputs))).all()


@pytest.mark.parametrize("name", [*RECTIFIERS, *RULES])
def test_an_output_without_a_gradient_is_refused(name):
    with pytest.raises(UnsupportedError, match="gradient"):
        run(name, make_view(nn.Sequential(Net(torch.relu), Detached()).eval(), make_inputs(TABLE)))


class Detached(nn.Module):
    def forward(self, inputs):
        return inputs.detach()


class Transparent(TrackingMode):
    def run(self, name, in_place, func, args, kwargs):
        return func(*args, **kwargs)


def test_a_tracked_network_computes_what_it_computes():
    view = make_view(Net(torch.relu), make_inputs(TABLE))
    raw = run_tracked(view.model, Transparent("x"), view.inputs.clone().requires_grad_(True))
    assert torch.equal(raw.detach(), view.model.predict(view.inputs))
