"""Guided backpropagation and deconvolution: every activation is a ReLU that is treated as one, or refused."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import captum.attr
import pytest
import torch
from helpers.architectures import SEQUENCE, relu_networks
from helpers.builders import IMAGE, TABLE, make_inputs, make_view
from helpers.explainer_cases import run
from torch import Tensor, nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError

METHODS = ("guided_backprop", "deconvolution")
RELU = relu_networks()


class Net(nn.Module):
    def __init__(self, activation: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.activation = activation
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        h = self.activation(self.first(inputs))
        out: Tensor = self.last(self.activation(self.second(h)))
        return out


def explain(name: str, activation: Any) -> Tensor:
    return run(name, make_view(Net(activation), make_inputs(TABLE), targets=torch.zeros(8, dtype=torch.int64)))


def on_a_slice(h: Tensor, change: Any) -> Tensor:
    h = h + 0
    change(h[:, :12])
    return h


def on_a_view(h: Tensor, change: Any) -> Tensor:
    flat = (h + 0).view(-1)
    change(flat)
    return flat.view_as(h)


OTHERS: dict[str, Any] = {
    **{repr(m): m for m in (
        nn.PReLU(), nn.PReLU(12), nn.RReLU(), nn.LeakyReLU(0.25), nn.ELU(), nn.CELU(), nn.SELU(), nn.GELU(),
        nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.Tanh(), nn.Sigmoid(), nn.Softplus(), nn.Hardtanh(),
        nn.ReLU6(), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(),
        nn.LogSigmoid(), nn.Softsign(), nn.Threshold(0.1, 0.0),
    )},
    **{repr(m): m for m in (
        nn.RReLU(inplace=True), nn.LeakyReLU(inplace=True), nn.ELU(inplace=True), nn.SiLU(inplace=True),
        nn.Hardtanh(inplace=True), nn.ReLU6(inplace=True),
    )},
    "prelu": lambda h: functional.prelu(h, torch.tensor([0.25])),
    "rrelu in training": lambda h: functional.rrelu(h, training=True),
    "mask": lambda h: h * (h > 0),
    "mask of numbers": lambda h: h * (h > 0).float(),
    "where": lambda h: torch.where(h > 0, h, 0.1 * h),
    "where with zeros": lambda h: torch.where(h > 0, h, torch.zeros_like(h)),
    "masked_fill": lambda h: h.masked_fill(h < 0, 0.0),
    "written by a mask": lambda h: h.clone().masked_fill_(h < 0, 0.0),
    "index_put": lambda h: h.clone().index_put_((h < 0,), torch.tensor(0.0)),
    "sign": lambda h: h * h.sign(),
    "heaviside": lambda h: h * torch.heaviside(h.detach(), torch.tensor(0.0)),
    "abs": lambda h: (h + h.abs()) / 2,
    "root of a square": lambda h: (h + (h * h).sqrt()) / 2,
    "norm of one number": lambda h: h.unsqueeze(2).norm(dim=2),
    "vector norm of one number": lambda h: torch.linalg.vector_norm(h.unsqueeze(2), dim=2),
    "leaky maximum": lambda h: torch.maximum(h, 0.1 * h),
    "maximum of a stack": lambda h: torch.stack([h, torch.zeros_like(h)]).amax(0),
    "leaky maximum of a stack": lambda h: torch.stack([h, 0.1 * h]).max(0).values,
    "minimum of a stack": lambda h: -torch.stack([-h, torch.zeros_like(h)]).min(dim=0)[0],
    "pooling of pairs with 0": lambda h: functional.max_pool1d(functional.pad(h.unsqueeze(2), (0, 1)), 2).squeeze(2),
    "pooling of a masked stack": lambda h: torch.cat([h, h], 0).view(2, -1, 12).masked_fill(
        torch.tensor([0, 1]).bool().view(2, 1, 1), 0.0).amax(0),
    "sort": lambda h: torch.stack([h, torch.zeros_like(h)]).sort(0).values[1],
    "topk": lambda h: torch.stack([h, torch.zeros_like(h)], -1).topk(1).values.squeeze(-1),
    "cummax": lambda h: h.cummax(1).values,
    "logsumexp": lambda h: torch.stack([h, torch.zeros_like(h)]).logsumexp(0),
    "logaddexp": lambda h: torch.logaddexp(h, torch.zeros_like(h)),
    "softplus written out": lambda h: torch.log1p(torch.exp(h)),
    "silu written out": lambda h: h * torch.sigmoid(h),
    "tanh written out": lambda h: (torch.exp(h) - 1) / (torch.exp(h) + 1),
    "rational": lambda h: h / (1 + h * h),
    "xlogy": lambda h: torch.xlogy(h, torch.full((12,), 2.0)) + torch.special.expit(h),
    "sine": torch.sin,
    "arctangent": torch.atan,
    "asinh": torch.asinh,
    "hypot": lambda h: torch.hypot(h, torch.ones(12)),
    "remainder": lambda h: torch.remainder(h, 1.0),
    "round": lambda h: h + torch.round(h),
    "nan_to_num": lambda h: torch.nan_to_num(h),
    "clamp": lambda h: h.clamp(0, 6),
    "clamp in place on a slice": lambda h: on_a_slice(h, lambda s: s.clamp_(-1, 1)),
    "elu in place on a slice": lambda h: on_a_slice(h, lambda s: functional.elu(s, inplace=True)),
    "tanh in place on a view": lambda h: on_a_view(h, lambda v: v.tanh_()),
    "leaky in place on a view": lambda h: on_a_view(h, lambda v: functional.leaky_relu_(v, 0.2)),
    "fused": lambda h: torch._addmm_activation(torch.zeros(12), h, torch.eye(12)),
    "fused gelu": lambda h: torch._addmm_activation(torch.zeros(12), h, torch.eye(12), use_gelu=True),
    "threshold_backward": lambda h: torch.ops.aten.threshold_backward(h, h, 0),
    "leaky relu of aten": lambda h: torch.ops.aten.leaky_relu.default(h, 0.25),
    "gru": nn.GRU(12, 12),
    "lstm": nn.LSTM(12, 12),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case", OTHERS)
def test_other_activations_are_refused(name, case):
    activation = OTHERS[case]
    if isinstance(activation, nn.RNNBase):
        whole, activation = activation, lambda h: whole(h)[0]
    with pytest.raises(UnsupportedError):
        explain(name, activation)


RELUS: dict[str, Any] = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "in place by position": lambda h: functional.relu(h, True),
    "relu_": lambda h: h.relu_(),
    "of aten": lambda h: torch.ops.aten.relu(h),
    "overload of aten": lambda h: torch.ops.aten.relu.default(h),
    "in place on all of a view": lambda h: on_a_view(h, lambda v: v.relu_()),
    "module in place on a view": lambda h: on_a_view(h, nn.ReLU(inplace=True)),
    "in place on a slice": lambda h: on_a_slice(h, lambda s: s.relu_()),
    "clamp in place on a slice": lambda h: on_a_slice(h, lambda s: s.clamp_(min=0)),
    "written back": lambda h: on_a_slice(h, lambda s: s.copy_(s.relu())),
    "set": lambda h: on_a_slice(h, lambda s: s.__setitem__((slice(None), slice(None)), s.relu())),
    "in two halves": lambda h: torch.cat([h[:, :5].relu(), h[:, 5:].clamp(min=0)], 1),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("case", RELUS)
def test_relus_are_treated_as_such(name, case):
    expected = explain(name, torch.relu)
    assert not torch.allclose(expected, explain("gradient", torch.relu))
    torch.testing.assert_close(explain(name, RELUS[case]), expected)


ALLOWED: dict[str, Any] = {
    "flip and roll": lambda h: h.flip(1).roll(2, 1),
    "gather": lambda h: h.gather(1, torch.arange(12).flip(0).expand(len(h), 12)),
    "constant mask": lambda h: h.masked_fill(torch.arange(12) > 9, 0.0),
    "cumulative sum": lambda h: h.cumsum(1),
    "group norm": lambda h: functional.group_norm(h, 3),
    "instance norm": lambda h: functional.instance_norm(h.view(-1, 3, 4)).flatten(1),
    "rms norm": lambda h: functional.rms_norm(h, (12,)),
    "local response norm": lambda h: functional.local_response_norm(h.view(-1, 4, 3), 3).flatten(1),
    "circular padding": lambda h: functional.pad(h.unsqueeze(1), (1, 1), mode="circular")[:, 0, 1:-1],
    "reflected": lambda h: functional.pad(h.unsqueeze(1), (1, 1), mode="reflect")[:, 0, 2:],
    "larger and smaller": lambda h: functional.avg_pool1d(functional.interpolate(h.unsqueeze(1), 24), 2).squeeze(1),
    "unfold": lambda h: h.unfold(1, 3, 1).mean(2).repeat(1, 2)[:, :12],
    "padding before pooling": lambda h: functional.max_pool1d(functional.pad(torch.relu(h), (1, 1)), 3, stride=1),
    "inception": lambda h: functional.max_pool1d(torch.cat([torch.relu(h), torch.relu(-h)], 1), 2),
    "set to a constant": lambda h: on_a_slice(h, lambda s: s[:, 1:3].zero_()),
    "log_softmax": lambda h: h.log_softmax(1),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_steps_that_are_no_activation_keep_their_gradient(case):
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            out: Tensor = self.last(ALLOWED[case](self.first(inputs)))
            return out

    view = make_view(One().eval(), make_inputs(TABLE))
    with_relu = case in ("padding before pooling", "inception")
    for name in METHODS:
        found = run(name, view)
        assert torch.isfinite(found).all()
        assert torch.allclose(found, run("gradient", view), atol=1e-6) != with_relu


@pytest.mark.parametrize("name", RELU)
def test_captum_agrees_over_architectures(name):
    """Captum wants every ReLU to be a module of its own; the twins of written networks are hooked by function."""
    net, shape = RELU[name]
    view = make_view(net, make_inputs(shape, 5).double(), features="series" if shape == SEQUENCE else None)
    if not isinstance(net, nn.Sequential):
        for method in METHODS:
            assert torch.isfinite(run(method, view)).all()
        return
    twin = nn.Sequential(*[copy.deepcopy(layer) for layer in net]).eval()
    for method, theirs in ((METHODS[0], captum.attr.GuidedBackprop), (METHODS[1], captum.attr.Deconvolution)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            expected = theirs(twin).attribute(view.inputs.clone().requires_grad_(True), target=view.targets)
        expected = view.layout.reduce(expected).detach().float()
        torch.testing.assert_close(run(method, view), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("activation", [nn.PReLU(init=0.25), nn.RReLU(), nn.Sequential(nn.Flatten(1, 1), nn.GELU())])
def test_guided_grad_cam_refuses_them_too(activation):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), activation, nn.Flatten(), nn.Linear(144, 3)).eval()
    with pytest.raises(UnsupportedError, match="ReLU"):
        run("guided_grad_cam", make_view(model, make_inputs(IMAGE)))


def test_a_relu_in_place_behind_flatten_is_guided():
    """Flatten gives a view of the convolution's output, and autograd hides what changes a view in place."""
    torch.manual_seed(0)
    conv, head = nn.Conv2d(1, 4, 3), nn.Linear(144, 3)
    maps = []
    for relu in (nn.ReLU(), nn.ReLU(inplace=True)):
        view = make_view(nn.Sequential(conv, nn.Flatten(), relu, head).eval(), make_inputs(IMAGE))
        maps.append(run("guided_backprop", view))
        assert not torch.allclose(maps[-1], run("gradient", view))
    torch.testing.assert_close(*maps)
