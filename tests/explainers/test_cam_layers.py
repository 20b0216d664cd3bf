"""Which layer Grad-CAM uses: maps made by hand at the named module, over the architectures in use."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.cam_nets import CONVOLUTIONAL, SIDE, VGG, MobileNetV2, ResNetBottleneck, build
from helpers.cam_transformers import TRANSFORMERS, Swin, ViT
from helpers.explainer_cases import run
from torch import nn
from torch.nn import functional

import xaibench as xb
from xaibench.core.errors import UnsupportedError
from xaibench.explainers import cam_layers
from xaibench.explainers.cam_layers import feature_layer

ARCHITECTURES = CONVOLUTIONAL + TRANSFORMERS
CLOSE = {"rtol": 1e-4, "atol": 1e-7}


def inputs_of(n=6, side=SIDE):
    return make_inputs((3, side, side), n)


def at_layer(net, name, to_maps, inputs, targets):
    """Grad-CAM at the output of a module, by a hook and autograd alone."""
    found = []
    # A copy goes on, so that an activation in place behind the layer leaves the output alone.
    handle = net.get_submodule(name).register_forward_hook(lambda _m, _i, out: found.append(out) or out.clone())
    leaf = inputs.clone().requires_grad_(True)
    picked = net(leaf)[range(len(inputs)), targets].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(picked, found[-1])
    maps, gradient = to_maps(found[-1].detach()), to_maps(gradient)
    coarse = torch.einsum("nk,nkhw->nhw", gradient.mean((2, 3)), maps).clamp(min=0)
    return functional.interpolate(coarse[:, None], inputs.shape[2:], mode="bilinear")[:, 0]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.__name__)
def test_the_default_layer_is_the_usual_one(architecture):
    net, inputs = build(architecture), inputs_of()
    view = make_view(net, inputs, targets=torch.arange(6) % 3)
    name, to_maps = architecture.target
    by_hand = at_layer(net, name, to_maps, inputs, view.targets)
    assert by_hand.max() > 0
    torch.testing.assert_close(run("grad_cam", view), by_hand, **CLOSE)
    torch.testing.assert_close(run("grad_cam", view, layer=name), by_hand, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.__name__)
def test_no_other_layer_has_the_same_map(architecture):
    """So that the test above cannot pass for a wrong layer: other modules with maps differ."""
    net, inputs = build(architecture), inputs_of()
    view = make_view(net, inputs, targets=torch.arange(6) % 3)
    ours, name = run("grad_cam", view), architecture.target[0]
    first = next(n for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear))
    assert first != name
    try:
        other = run("grad_cam", view, layer=first)
    except UnsupportedError:
        return  # Tokens or maps of one place: no map at all.
    assert not torch.allclose(ours / ours.max(), other / other.max().clamp(min=1e-12), rtol=1e-2, atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda a: a.__name__)
def test_a_sample_alone_has_the_map_that_it_has_in_a_batch_and_nothing_is_left_behind(architecture):
    net, inputs = build(architecture, seed=1), inputs_of(7)
    before = copy.deepcopy(net.state_dict())
    view = make_view(net, inputs)
    together = run("grad_cam", view)
    for row in (0, 4):
        torch.testing.assert_close(run("grad_cam", view.take(slice(row, row + 1))), together[row : row + 1], **CLOSE)
    torch.testing.assert_close(run("grad_cam", make_view(net, inputs, batch_size=2)), together, **CLOSE)
    assert torch.equal(inputs, inputs_of(7))
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def _unassigned(hidden):
    functional.relu_(hidden)
    return hidden


SPELLINGS = {
    "functional": functional.relu,
    "method": lambda h: h.relu(),
    "clamp": lambda h: h.clamp(min=0),
    "functional in place": lambda h: functional.relu(h, inplace=True),
    "method in place": lambda h: h.relu_(),
    "in place, result not used": _unassigned,
    "clamp in place": lambda h: h.clamp_(min=0),
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
}


class Spelled(nn.Module):
    def __init__(self, relu, *, pooled=True, norm=True):
        super().__init__()
        torch.manual_seed(5)
        self.first, self.second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 7, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(7) if norm else nn.Identity(), nn.Linear(7, 3)
        self.relu, self.pooled = relu, pooled

    def forward(self, inputs):
        hidden = functional.max_pool2d(self.relu(self.first(inputs)), 2)
        hidden = self.relu(self.norm(self.second(hidden)))
        return self.head(functional.avg_pool2d(hidden, 2).amax((2, 3)) if self.pooled else hidden.mean((2, 3)))


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("name", ["grad_cam", "guided_grad_cam"])
def test_all_spellings_of_an_activation_have_one_map(name, pooled, norm):
    inputs = inputs_of()
    maps = {}
    for spelling, relu in SPELLINGS.items():
        net = Spelled(relu, pooled=pooled, norm=norm).eval()
        maps[spelling] = run(name, make_view(net, inputs, targets=torch.arange(6) % 3))
    assert maps["module"].abs().max() > 0
    assert all(torch.equal(m, maps["module"]) for m in maps.values())
    target = Spelled(SPELLINGS["module"], pooled=pooled, norm=norm).eval()
    if name == "grad_cam":
        by_hand = at_layer(target, "relu", lambda t: t, inputs, torch.arange(6) % 3)
        torch.testing.assert_close(maps["functional in place"], by_hand, **CLOSE)


@pytest.mark.parametrize("output", ["logit", "probability", "margin"])
def test_every_output_can_be_explained_at_the_default_layer(output):
    view = make_view(build(ViT), inputs_of(), output=output)
    assert torch.equal(run("grad_cam", view), run("grad_cam", view, layer="blocks.1.norm1"))


@pytest.mark.parametrize(
    ("architecture", "layer", "label"),
    [
        (VGG, None, "5 relu (8, 8, 8)"),
        (MobileNetV2, None, "features.3.1 relu6 (12, 4, 4)"),
        (ResNetBottleneck, None, "stages.1.relu relu (8, 4, 4)"),
        (Swin, None, "norm layer_norm (4, 4, 16)"),
        (ViT, None, "blocks.1.norm1 layer_norm (17, 8)"),
        (VGG, "0", "0 conv2d (6, 16, 16)"),
        (ViT, "blocks.0", "blocks.0 vitblock (17, 8)"),
        (MobileNetV2, "convolution", "features.2.conv.2.0 conv2d (12, 4, 4)"),
    ],
)
def test_the_layer_has_a_name(architecture, layer, label):
    assert feature_layer(make_view(build(architecture), inputs_of(2)), layer=layer).label == label


def test_the_old_rule_is_the_last_convolution_larger_than_1x1():
    view = make_view(build(MobileNetV2), inputs_of())
    old = run("grad_cam", view, layer="convolution")
    assert torch.equal(old, run("grad_cam", view, layer="features.2.conv.2.0"))
    assert not torch.equal(old, run("grad_cam", view))


def test_a_module_named_convolution_is_that_module():
    net = build(VGG)
    named = nn.Sequential()
    for i, part in enumerate(net):
        named.add_module("convolution" if i == 0 else str(i), part)
    view, plain = make_view(named.eval(), inputs_of()), make_view(net, inputs_of())
    assert torch.equal(run("grad_cam", view, layer="convolution"), run("grad_cam", plain, layer="0"))


@pytest.mark.parametrize("side", [(16, 16), (16, 24), (12, 20)])
def test_oblong_images(side):
    net, inputs = build(Swin if side == (16, 16) else VGG), make_inputs((3, *side), 3)
    if side == (12, 20):
        net = build(MobileNetV2)
    view = make_view(net, inputs)
    name, to_maps = type(net).target
    by_hand = at_layer(net, name, to_maps, inputs, view.targets)
    torch.testing.assert_close(run("grad_cam", view), by_hand, **CLOSE)


class _Branches(nn.Module):
    """A stage of parallel branches whose maps are put side by side, as in GoogLeNet or ASPP."""

    def __init__(self, *kernels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Conv2d(4, 2 + k, k, padding=k // 2) for k in kernels])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([functional.relu(branch(inputs)) for branch in self.branches], dim=1)


@pytest.mark.parametrize("kernels", [(1, 3), (1, 3, 5)])
@pytest.mark.parametrize("pooling", [nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1))])
def test_maps_of_parallel_branches_are_one_layer(kernels: tuple[int, ...], pooling: nn.Module) -> None:
    torch.manual_seed(0)
    stage = _Branches(*kernels)
    head = nn.Linear(sum(2 + k for k in kernels), 3)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), stage, pooling, nn.Flatten(), head).eval()
    inputs = torch.randn(3, 2, 8, 8)
    kept: list[torch.Tensor] = []
    with torch.enable_grad():
        handle = stage.register_forward_hook(lambda _m, _i, output: kept.append(output))
        outputs = net(inputs)
        handle.remove()
        targets = outputs.argmax(1)
        (gradient,) = torch.autograd.grad(outputs.gather(1, targets[:, None]).sum(), kept[0])
    coarse = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True).clamp(min=0)
    expected = functional.interpolate(coarse, size=(8, 8), mode="bilinear", align_corners=False)[:, 0]
    found = xb.explain("grad_cam", model=net, inputs=inputs, targets=targets, features="image")
    np.testing.assert_allclose(found, expected.detach().numpy(), **CLOSE)


def test_the_layer_is_found_once_for_a_row_and_its_explanation(monkeypatch):
    """Again for other samples, another layer or other weights, and for nothing else."""
    found = []
    finding = cam_layers._feature_layer

    def noted(problem, layer, tokens):
        found.append(layer)
        return finding(problem, layer, tokens)

    monkeypatch.setattr(cam_layers, "_feature_layer", noted)
    net = build(VGG)
    view = make_view(net, inputs_of(2), targets=torch.arange(2) % 3)
    said, first = cam_layers.layer_used(view), run("grad_cam", view)
    assert found == [None]
    assert cam_layers.layer_used(replace(view)) == said
    name = VGG.target[0]
    cam_layers.layer_used(view, layer=name)
    assert found == [None, None, name]
    cam_layers.layer_used(view)
    with torch.no_grad():
        for weights in net.parameters():
            weights.mul_(-1)
    assert not torch.equal(run("grad_cam", view), first)
    assert found == [None, None, name, None, None]
