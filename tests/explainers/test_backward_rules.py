"""Guided backprop, deconvolution, DeepLift, LRP and Grad-CAM: the rules behind them, against Captum."""

from __future__ import annotations

import copy
import warnings

import captum.attr
import pytest
import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule
from helpers.builders import IMAGE, RGB, SERIES, TABLE, cnn, linear, make_inputs, make_view, mlp
from helpers.explainer_cases import FunctionalNet, ModularNet, plain_cnn, run
from torch import nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.predictor import TorchPredictor

CLOSE = {"rtol": 1e-3, "atol": 1e-6}
RULED = ("guided_backprop", "deconvolution", "deep_lift", "lrp")
NETS = {"rgb": (plain_cnn(3), RGB), "image": (plain_cnn(), IMAGE), "table": (mlp(TABLE), TABLE)}


@pytest.fixture(autouse=True)
def _captum_warns_about_its_hooks():
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="(Setting forward|Setting backward|Input Tensor 0)", category=UserWarning
        )
        yield


@pytest.mark.parametrize("data", NETS)
def test_captum_agrees_on_guided_backprop_and_deconvolution(data):
    model, shape = NETS[data]
    view = make_view(model, make_inputs(shape))
    for name, method in (("guided_backprop", captum.attr.GuidedBackprop), ("deconvolution", captum.attr.Deconvolution)):
        theirs = method(model).attribute(view.inputs.clone().requires_grad_(True), target=view.targets)
        torch.testing.assert_close(run(name, view), view.layout.reduce(theirs).detach(), **CLOSE)


@pytest.mark.parametrize("data", NETS)
@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_captum_agrees_on_deep_lift(data, baseline):
    """A difference on purpose: of two rules in a row, as ReLU and max pooling, Captum 0.9 skips one.

    Its hook on the first one's output sees the gradient before the second one's rule has changed it,
    and its maps are not complete then. So here a convolution stands between them.
    """
    model, shape = NETS[data]
    if data != "table":
        layers = list(model)
        torch.manual_seed(1)
        model = nn.Sequential(*layers[:2], nn.Conv2d(6, 6, 1), *layers[2:]).eval()
    view = make_view(model, make_inputs(shape))
    theirs = captum.attr.DeepLift(model).attribute(view.inputs, view.baseline(baseline), target=view.targets)
    ours = run("deep_lift", view, baseline=baseline)
    torch.testing.assert_close(ours, view.layout.reduce(theirs).detach(), rtol=1e-3, atol=1e-5)


def test_deep_lift_max_pooling_by_hand():
    """Windows [3, 1] over [0, 2] and [-2, -1] over [0, 0.5]: the maximum rises by 1, and falls by 1.5."""
    model = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(2, 1, bias=False)).eval()
    with torch.no_grad():
        model[3].weight.copy_(torch.tensor([[1.0, 10.0]]))
    background = torch.tensor([[0.0, 2.0, 0.0, 0.5]])
    predictor = TorchPredictor(model, "value")
    view = make_view(predictor, torch.tensor([[3.0, 1.0, -2.0, -1.0]]), background=background)
    torch.testing.assert_close(run("deep_lift", view, baseline="mean"), torch.tensor([[1.0, 0.0, 0.0, -15.0]]))


def captum_lrp(model, view, convolution) -> torch.Tensor:
    """Captum's LRP with one rule for convolutions and epsilon elsewhere; it changes the model, so on a copy."""
    twin = copy.deepcopy(model)
    for module in twin:
        if not isinstance(module, nn.ReLU):
            module.rule = convolution() if isinstance(module, nn.Conv2d) else EpsilonRule(1e-6)
    return view.layout.reduce(captum.attr.LRP(twin).attribute(view.inputs, target=view.targets)).detach()


@pytest.mark.parametrize("data", NETS)
def test_captum_agrees_on_the_epsilon_rule(data):
    model, shape = NETS[data]
    view = make_view(model, make_inputs(shape))
    theirs = captum_lrp(model, view, lambda: EpsilonRule(1e-6))
    torch.testing.assert_close(run("lrp", view, rule="epsilon"), theirs, rtol=1e-2, atol=1e-4)


def test_captum_agrees_on_the_plus_rule():
    """Where both are defined alike: inputs that are not negative, no biases."""
    model = plain_cnn(3, bias=False)
    view = make_view(model, make_inputs(RGB).abs())
    theirs = captum_lrp(model, view, Alpha1_Beta0_Rule)
    torch.testing.assert_close(run("lrp", view), theirs, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("layer", ["0", "3", None])
def test_captum_agrees_on_grad_cam(layer):
    model = plain_cnn(3)
    view = make_view(model, make_inputs(RGB))
    module = model[int(layer or 4)]  # By default, the ReLU before the last pooling.
    coarse = captum.attr.LayerGradCam(model, module).attribute(
        view.inputs.clone().requires_grad_(True), target=view.targets, relu_attributions=True
    )
    theirs = functional.interpolate(coarse, (8, 8), mode="bilinear").squeeze(1).detach()
    torch.testing.assert_close(run("grad_cam", view, layer=layer), theirs, **CLOSE)
    guided = captum.attr.GuidedGradCam(model, module).attribute(
        view.inputs.clone().requires_grad_(True), target=view.targets, interpolate_mode="bilinear"
    )
    ours = run("guided_grad_cam", view, layer=layer)
    torch.testing.assert_close(ours, view.layout.reduce(guided).detach(), **CLOSE)


@pytest.mark.parametrize("name", [*RULED, "grad_cam", "guided_grad_cam"])
def test_functional_reused_and_in_place_relus_are_followed(name):
    """The same function written with functions and with modules has the same explanation."""
    net = FunctionalNet(3)
    inputs = make_inputs(RGB)
    written, modular = (make_view(m, inputs) for m in (net, ModularNet(net)))
    assert torch.equal(written.scores(inputs), modular.scores(inputs))
    params = {"layer": "conv2"} if "cam" in name else {}
    torch.testing.assert_close(run(name, written, **params), run(name, modular, **params), **CLOSE)


@pytest.mark.parametrize("net", [FunctionalNet(3), cnn(RGB), plain_cnn(3), mlp(RGB)])
@pytest.mark.parametrize("output", ["logit", "probability", "margin"])
def test_deep_lift_is_complete(net, output):
    view = make_view(net, make_inputs(RGB), output=output)
    gap = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    total = run("deep_lift", view).flatten(1).sum(dim=1)
    torch.testing.assert_close(total, gap, rtol=5e-3, atol=2e-3 if output == "margin" else 1e-4)


def test_deep_lift_of_other_activations_and_of_a_network_that_ends_in_softmax():
    torch.manual_seed(0)
    layers = [nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 12), nn.Sigmoid(), nn.Linear(12, 12), nn.Softplus()]
    model = nn.Sequential(*layers, nn.Linear(12, 3), nn.Softmax(dim=1)).eval()
    view = make_view(model, make_inputs(TABLE))
    gap = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    torch.testing.assert_close(run("deep_lift", view).sum(dim=1), gap, rtol=1e-3, atol=1e-5)


def test_deep_lift_overlapping_max_pooling_is_complete():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3, stride=1), nn.Flatten(), nn.Linear(64, 3)
    ).eval()
    view = make_view(model, make_inputs(IMAGE))
    gap = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    torch.testing.assert_close(run("deep_lift", view).flatten(1).sum(dim=1), gap, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [IMAGE, RGB, TABLE, SERIES])
def test_closed_forms_on_a_linear_model(shape):
    model = linear(shape)
    view = make_view(model, make_inputs(shape))
    w = model[1].weight[view.targets].detach().view_as(view.inputs)
    reduce = view.layout.reduce
    torch.testing.assert_close(run("guided_backprop", view), reduce(w), **CLOSE)
    torch.testing.assert_close(run("deconvolution", view), reduce(w), **CLOSE)
    way = view.inputs - view.baseline("mean")
    torch.testing.assert_close(run("deep_lift", view, baseline="mean"), reduce(w * way), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(run("lrp", view), reduce(w * view.inputs), rtol=1e-3, atol=1e-4)


def test_epsilon_rule_is_input_times_gradient_in_a_relu_network():
    for net in (plain_cnn(3), FunctionalNet(3)):
        view = make_view(net, make_inputs(RGB))
        torch.testing.assert_close(
            run("lrp", view, rule="epsilon", epsilon=1e-9), run("input_x_gradient", view), rtol=1e-2, atol=1e-3
        )


@pytest.mark.parametrize("rule", ["epsilon", "epsilon_plus"])
def test_relevance_is_conserved_without_biases(rule):
    for net in (plain_cnn(3, bias=False), FunctionalNet(3, bias=False)):
        view = make_view(net, make_inputs(RGB))
        total = run("lrp", view, rule=rule).flatten(1).sum(dim=1)
        torch.testing.assert_close(total, view.scores(view.inputs), rtol=2e-3, atol=2e-4)


def test_batch_normalisation_is_merged_into_the_convolution_before_it():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    norm.weight.data.normal_()
    norm.bias.data.normal_()
    fused = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm.eval())
    tail = [nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    apart, whole = nn.Sequential(conv, norm, *tail), nn.Sequential(fused, *tail)
    for rule in ("epsilon", "epsilon_plus"):
        maps = [run("lrp", make_view(m, make_inputs(RGB)), rule=rule) for m in (apart, whole)]
        torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-4)


class Attention(nn.Module):
    def forward(self, inputs):
        return torch.softmax(inputs @ inputs.mT, dim=-1) @ inputs


@pytest.mark.parametrize(
    ("name", "layers", "reason"),
    [
        ("guided_backprop", [nn.GELU()], "Gelu"),
        ("deconvolution", [nn.Tanh()], "Tanh"),
        ("lrp", [nn.Sigmoid()], "sigmoid"),
        ("lrp", [nn.LayerNorm(6)], "layer_norm"),
        ("deep_lift", [nn.LayerNorm(6)], "layer_norm"),
        ("deep_lift", [nn.Unflatten(1, (3, 2)), Attention(), nn.Flatten()], "products"),
        ("lrp", [nn.Unflatten(1, (3, 2)), Attention(), nn.Flatten()], "products"),
        ("grad_cam", [], "no feature map with more than one place"),
    ],
)
def test_what_has_no_rule_is_refused(name, layers, reason):
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(6, 3)).eval()
    with pytest.raises(UnsupportedError, match=reason):
        run(name, make_view(model, make_inputs(TABLE)))


class ReadAgain(nn.Module):
    """Reads a tensor after an in-place ReLU has changed it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs):
        hidden = self.first(inputs)
        raised = functional.relu(hidden, inplace=True)
        return self.last(raised + hidden)


class WrittenInto(nn.Module):
    def forward(self, inputs):
        hidden = inputs * 2
        hidden[:, 0] = 0
        return hidden


@pytest.mark.parametrize("name", ["deep_lift", "lrp"])
@pytest.mark.parametrize(("net", "reason"), [(ReadAgain(), "in-place"), (WrittenInto(), "setitem")])
def test_in_place_changes_that_cannot_be_followed_are_refused(name, net, reason):
    with pytest.raises(UnsupportedError, match=reason):
        run(name, make_view(net, make_inputs(TABLE)))


@pytest.mark.parametrize("name", [*RULED, "grad_cam"])
def test_a_network_is_left_as_it_was_after_an_error(name):
    class Faulty(nn.Module):
        def forward(self, inputs):
            if torch.is_grad_enabled():
                raise RuntimeError("on purpose")
            return inputs

    model = nn.Sequential(*plain_cnn(3), Faulty())
    view = make_view(model, make_inputs(RGB))
    before = {k: id(p) for k, p in model.named_parameters()}
    with pytest.raises(RuntimeError, match="on purpose"):
        run(name, view)
    assert {k: id(p) for k, p in model.named_parameters()} == before
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in model.modules())
    assert torch.relu(torch.tensor(-1.0, requires_grad=True)).grad_fn.name() == "ReluBackward0"


def test_the_old_rule_of_grad_cam_leaves_shortcut_convolutions_out():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.shortcut, self.wide, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Linear(256, 3)

        def forward(self, inputs):
            wide = self.wide(inputs)
            return self.head(torch.relu(wide + self.shortcut(inputs)).flatten(1))

    view = make_view(Block().eval(), make_inputs(RGB))
    old = run("grad_cam", view, layer="convolution")
    assert torch.equal(old, run("grad_cam", view, layer="wide"))
    assert not torch.equal(old, run("grad_cam", view, layer="shortcut"))


def test_grad_cam_layer_errors():
    view = make_view(plain_cnn(3), make_inputs(RGB))
    with pytest.raises(UsageError, match="no layer"):
        run("grad_cam", view, layer="nope")
    with pytest.raises(UnsupportedError, match="maps"):
        run("grad_cam", view, layer="9")


def test_lrp_epsilon_must_be_positive():
    with pytest.raises(UsageError, match="epsilon"):
        run("lrp", make_view(plain_cnn(3), make_inputs(RGB)), epsilon=0.0)
