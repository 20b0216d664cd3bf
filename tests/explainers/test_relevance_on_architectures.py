"""LRP and its kin on the architectures of transformers, against a second implementation by hooks and autograd alone.

Relevance is input times gradient of a network whose layers are written so that their gradient is the rule: a sum z as
``p (z / p).detach()``, p being the terms that the rule divides by.
"""

from __future__ import annotations

import copy
import warnings
from itertools import pairwise

import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.cam_nets import DenseNet, MobileNetV2, ResNet, ResNetPreActivation, build
from helpers.explainer_cases import run
from torch import nn

from xaibench.core.errors import UnsupportedError

transformers = pytest.importorskip("transformers")
LOW, HIGH, GAMMA, SIDE = -6.0, 6.0, 0.25, 32
COMPOSITES = (
    "epsilon", "epsilon_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1", "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box", "gamma",
)  # fmt: skip


def settled(net: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, weights and statistics of batch normalisation drawn at random."""
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, 0, 1.2 / module.weight[0].numel() ** 0.5)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return net.double().eval()


def hf_resnet() -> nn.Module:
    config = transformers.ResNetConfig(embedding_size=6, hidden_sizes=[8, 12], depths=[1, 2], num_labels=3)
    return settled(transformers.ResNetForImageClassification(config))


def hf_mobilenet() -> nn.Module:
    config = transformers.MobileNetV2Config(depth_multiplier=0.1, depth_divisible_by=2, min_depth=2, num_labels=3)
    return settled(transformers.MobileNetV2ForImageClassification(config))


def hf_convnext() -> nn.Module:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, num_labels=3)
    return settled(transformers.ConvNextForImageClassification(config))


def hf_vit() -> nn.Module:
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=SIDE,
        patch_size=8, num_labels=3,
    )  # fmt: skip
    return settled(transformers.ViTForImageClassification(config))


def densenet() -> nn.Module:
    """With the usual stem, behind which no normalisation follows a convolution directly."""
    net = build(DenseNet)
    net.features[0] = nn.Sequential(net.features[0], nn.BatchNorm2d(4), nn.LeakyReLU(0.1))
    return settled(net)


def preactivated() -> nn.Module:
    net = build(ResNetPreActivation)
    net.stem = nn.Sequential(net.stem, nn.LeakyReLU(0.1))
    return settled(net)


NETS = {
    "ResNet of transformers": hf_resnet,
    "MobileNetV2 of transformers": hf_mobilenet,
    "DenseNet": densenet,
    "ResNet": lambda: settled(build(ResNet)),
    "MobileNetV2": lambda: settled(build(MobileNetV2)),
    "ResNet with pre-activation": preactivated,
}


def fused(net: nn.Module) -> nn.Module:
    """A copy whose batch normalisation behind a convolution is merged into it."""
    net = copy.deepcopy(net)
    fuse = torch.nn.utils.fusion.fuse_conv_bn_eval
    for module in net.modules():
        if isinstance(getattr(module, "normalization", None), nn.BatchNorm2d):
            module.convolution, module.normalization = fuse(module.convolution, module.normalization), nn.Identity()
        parts = list(module.named_children()) if isinstance(module, nn.Sequential) else []
        for (name, conv), (after, norm) in pairwise(parts):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse(conv, norm))
                setattr(module, after, nn.Identity())
    lite = (("_conv_stem", "_bn0"), ("_conv_head", "_bn1"), ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"),
            ("_project_conv", "_bn2"))  # fmt: skip
    for conv, norm in (("conv1", "norm2"), *lite):  # Pre-activation: the normalisation behind the first of two.
        for module in net.modules():
            if hasattr(module, conv) and hasattr(module, norm):
                setattr(module, conv, fuse(getattr(module, conv), getattr(module, norm)))
                setattr(module, norm, nn.Identity())
    return net


def signed(layer: nn.Module, x, up, down, bias):
    """Terms of positive inputs under one weight, of negative ones under another, and a bias."""
    run_ = (lambda v, w, b: layer._conv_forward(v, w, b)) if isinstance(layer, nn.Conv2d) else nn.functional.linear
    return run_(x.clamp(min=0), up, bias) + run_(x.clamp(max=0), down, None)


def by_rule(rule: str, layer: nn.Module, x, z):
    """A layer's result z, with the rule as its gradient."""
    w = layer.weight.detach()
    b = torch.zeros(len(w), dtype=w.dtype) if layer.bias is None else layer.bias.detach()

    def through(p):
        part = p * torch.where(p != 0, z / p, 0).detach()
        return part + (z - part).detach()

    def towards(sign: int, grow: float = 0.0):
        up, down = w.clamp(min=0), w.clamp(max=0)
        first, second, own = (up, down, b.clamp(min=0)) if sign > 0 else (down, up, b.clamp(max=0))
        if grow:
            return signed(layer, x, w + grow * first, w + grow * second, b + grow * own)
        return signed(layer, x, first, second, own)

    if rule == "epsilon":
        return z
    if rule == "plus":
        return through(towards(1))
    if rule == "alpha_beta":
        return 2 * through(towards(1)) - through(towards(-1))
    if rule == "gamma":
        return torch.where(z.detach() > 0, through(towards(1, GAMMA)), through(towards(-1, GAMMA)))
    ones = x / torch.where(x != 0, x.detach(), 1)  # 0 for padding
    if rule == "flat":
        return through(layer._conv_forward(ones, torch.ones_like(w), None))
    whole = layer._conv_forward(x, w, None)
    low, high = (
        layer._conv_forward(LOW * ones, w.clamp(min=0), None),
        layer._conv_forward(HIGH * ones, w.clamp(max=0), None),
    )
    return through(whole - low - high)


def by_hooks(net: nn.Module, composite: str, inputs, targets):
    net = net if composite == "epsilon" else fused(net)
    first = next(m for m in net.modules() if isinstance(m, nn.Conv2d))
    inner = {"epsilon": "epsilon", "gamma": "gamma", "epsilon_gamma_box": "gamma"}.get(
        composite, "alpha_beta" if "alpha2" in composite else "plus"
    )
    outer = "flat" if composite.endswith("flat") else "box" if composite.endswith("box") else inner

    def layer_hook(layer, args, z):
        dense = "gamma" if composite == "gamma" else "epsilon"
        rule = outer if layer is first else inner if isinstance(layer, nn.Conv2d) else dense
        # A convolution that pads its input by itself, to the same size.
        padded = layer.static_padding(args[0]) if hasattr(layer, "static_padding") else args[0]
        return by_rule(rule, layer, padded, z)

    def passing(_module, args, result):
        return args[0] * (result / args[0]).detach()

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(layer_hook)
        elif isinstance(module, nn.ReLU6) or (isinstance(module, nn.BatchNorm2d) and composite != "epsilon"):
            if isinstance(module, nn.ReLU6):
                module.inplace = False
            module.register_forward_hook(passing)
    leaf = inputs.clone().requires_grad_(True)
    out = net(leaf)
    logits = getattr(out, "logits", out)
    (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), leaf)
    return (inputs * gradient).sum(1)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if "transformers" in n else []) for n in NETS]
)
def test_composites_are_those_of_hooks_and_autograd(name, composite):
    net = NETS[name]()
    inputs = make_inputs((3, SIDE, SIDE), 2).double()
    view = make_view(net, inputs)
    expected = by_hooks(copy.deepcopy(net), composite, inputs, view.targets)
    bounds = {"low": LOW, "high": HIGH} if composite.endswith("box") else {}
    found = run("lrp", view, rule=composite, epsilon=1e-12, gamma=GAMMA, **bounds).double()
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("bounds", [{}, {"low": LOW, "high": HIGH}], ids=["w2", "box"])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if "transformers" in n else []) for n in NETS]
)
def test_deep_taylor_conserves(name, bounds):
    view = make_view(NETS[name](), make_inputs((3, SIDE, SIDE), 4).double(), targets=torch.arange(4) % 3)
    found = run("deep_taylor", view, **bounds).double()
    assert (found >= 0).all()
    expected = view.scores(view.inputs).clamp(min=0)
    assert (expected > 0).any()
    torch.testing.assert_close(found.flatten(1).sum(1), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet of transformers", "ResNet", "DenseNet", "ResNet with pre-activation"])
def test_full_gradients_are_complete(name):
    view = make_view(NETS[name](), make_inputs((3, SIDE, SIDE), 3).double())
    total = run("full_grad", view).double().flatten(1).sum(1)
    torch.testing.assert_close(total, view.scores(view.inputs), rtol=1e-4, atol=1e-5)


def efficientnet() -> nn.Module:
    """EfficientNet-Lite0 with random weights: 4.7 million of them, ReLU6, depthwise convolutions, residual sums."""
    library = pytest.importorskip("efficientnet_lite_pytorch")
    return settled(library.EfficientNet.from_name("efficientnet-lite0"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("composite", COMPOSITES)
def test_composites_on_efficientnet_are_those_of_hooks_and_autograd(composite):
    net, inputs = efficientnet(), make_inputs((3, SIDE, SIDE), 2).double()
    view = make_view(net, inputs)
    expected = by_hooks(copy.deepcopy(net), composite, inputs, view.targets)
    bounds = {"low": LOW, "high": HIGH} if composite.endswith("box") else {}
    found = run("lrp", view, rule=composite, epsilon=1e-12, gamma=GAMMA, **bounds).double()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.exhaustive
@pytest.mark.parametrize("bounds", [{}, {"low": LOW, "high": HIGH}], ids=["w2", "box"])
def test_deep_taylor_conserves_on_efficientnet(bounds):
    view = make_view(efficientnet(), make_inputs((3, SIDE, SIDE), 2).double())
    found = run("deep_taylor", view, **bounds).double()
    assert (found >= 0).all()
    torch.testing.assert_close(found.flatten(1).sum(1), view.scores(view.inputs).clamp(min=0), rtol=1e-4, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lrp", "deep_taylor", "full_grad", "full_grad_saliency"])
@pytest.mark.parametrize("net", [hf_convnext, hf_vit])
def test_what_has_no_rule_is_refused(net, name):
    """Layer normalisation, GELU and attention."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UnsupportedError, match=r"no rule for|products of two"):
            run(name, make_view(net(), make_inputs((3, SIDE, SIDE), 2).double()))
