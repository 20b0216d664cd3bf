"""Rules of LRP and deep Taylor decomposition: closed forms, composites by hand, conservation."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from helpers.builders import IMAGE, RGB, TABLE, make_inputs, make_view, mlp
from helpers.explainer_cases import plain_cnn, run
from torch import nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.explainers.engines import relevance_rules as rules
from xaibench.explainers.engines.backward_rules import TracedOperation
from xaibench.suite.references import ComponentRef

TIGHT = {"rtol": 1e-8, "atol": 1e-10}
LOW, HIGH = -2.0, 3.0


def layer_of(kind: str):
    """An operation with mixed signs, a bias and zero padding, its inputs, and its matrix (units, inputs)."""
    generator = torch.Generator().manual_seed(3)
    made = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    if kind == "linear":
        x, weight, bias, function, more = made(2, 5), made(4, 5), made(4), functional.linear, ()
    elif kind == "conv":
        x, weight, bias, function, more = made(2, 2, 4, 4), made(3, 2, 3, 3), made(3), functional.conv2d, (2, 1)
    else:
        x, weight, bias, function, more = made(2, 2, 3, 3), made(2, 3, 3, 3), made(3), functional.conv_transpose2d, (2,)
    x.requires_grad_(True)
    op = TracedOperation(function.__name__, function, (x, weight, bias, *more), {})
    result = function(x, weight, bias, *more)
    number = x[0].numel()
    units = torch.eye(number, dtype=torch.float64).view(number, *x.shape[1:])
    matrix = function(units, weight, None, *more).flatten(1).T
    offset = function(torch.zeros_like(x[:1]), weight, bias, *more).flatten()
    relevance = made(*result.shape)
    return op, x, matrix, offset, relevance


def by_formula(rule: str, x, w, b, relevance, gamma: float = 0.25):
    """R_j of one sample, unit by unit."""
    found = torch.zeros_like(x)
    for wk, bk, rk in zip(w, b, relevance, strict=True):
        terms = x * wk
        z = terms.sum() + bk
        up, down = terms.clamp(min=0), terms.clamp(max=0)
        # A sum without terms gives nothing to them.
        total_up, total_down = up.sum() + bk.clamp(min=0) or 1, down.sum() + bk.clamp(max=0) or 1
        if rule == "epsilon":
            found += terms / z * rk
        elif rule == "plus":
            found += up / total_up * rk
        elif rule == "alpha_beta":
            found += (2 * up / total_up - down / total_down) * rk
        elif rule == "gamma":
            own = up if z > 0 else down
            own_bias = bk.clamp(min=0) if z > 0 else bk.clamp(max=0)
            found += (terms + gamma * own) / (z + gamma * (own.sum() + own_bias)) * rk
        elif rule == "w2":
            found += wk**2 / (wk**2).sum() * rk
        elif rule == "flat":
            found += (wk != 0).double() / (wk != 0).sum() * rk
        else:
            part = terms - LOW * wk.clamp(min=0) - HIGH * wk.clamp(max=0)
            found += part / part.sum() * rk
    return found


def apply(rule: str, op: TracedOperation, x: torch.Tensor, epsilon: float = 1e-14):
    bounds = (torch.full_like(x, LOW).detach(), torch.full_like(x, HIGH).detach())
    return {
        "epsilon": lambda: rules.epsilon_rule(op, epsilon),
        "plus": lambda: rules.plus_rule(op, epsilon),
        "alpha_beta": lambda: rules.alpha_beta_rule(op, 2, 1, epsilon),
        "gamma": lambda: rules.gamma_rule(op, 0.25, epsilon),
        "w2": lambda: rules.w2_rule(op),
        "flat": lambda: rules.flat_rule(op),
        "box": lambda: rules.box_rule(op, *bounds, epsilon),
    }[rule]()


@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
@pytest.mark.parametrize("rule", ["epsilon", "plus", "alpha_beta", "gamma", "w2", "flat", "box"])
def test_closed_forms_of_one_layer(rule, kind):
    op, x, matrix, offset, relevance = layer_of(kind)
    (found,) = torch.autograd.grad(apply(rule, op, x), x, relevance)
    for row in range(2):
        expected = by_formula(rule, x[row].detach().flatten(), matrix, offset, relevance[row].flatten())
        torch.testing.assert_close(found[row].flatten(), expected, **TIGHT)


@pytest.mark.parametrize("rule", ["w2", "flat", "box"])
def test_three_rules_keep_all_relevance(rule):
    op, x, _, _, relevance = layer_of("conv")
    (found,) = torch.autograd.grad(apply(rule, op, x), x, relevance)
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), relevance.sum(dim=(1, 2, 3)), **TIGHT)


def test_alpha_beta_without_terms_of_one_sign():
    """2 R where there are no negative terms, -R where there are no positive ones."""
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[0.5, 1.0], [-0.5, -1.0]], dtype=torch.float64)
    op = TracedOperation("linear", functional.linear, (x, weight, None), {})
    (found,) = torch.autograd.grad(
        rules.alpha_beta_rule(op, 2, 1, 1e-14), x, torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    )
    torch.testing.assert_close(found, 2 * torch.tensor([[0.2, 0.8]], dtype=torch.float64), **TIGHT)
    (found,) = torch.autograd.grad(
        rules.alpha_beta_rule(op, 2, 1, 1e-14), x, torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    )
    torch.testing.assert_close(found, -torch.tensor([[0.2, 0.8]], dtype=torch.float64), **TIGHT)
    with pytest.raises(UsageError, match="do not keep relevance"):
        rules.alpha_beta_rule(op, 2, 0.5, 1e-6)


def test_a_unit_without_weights_divides_equally():
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    op = TracedOperation("linear", functional.linear, (x, torch.zeros(1, 2), torch.ones(1)), {})
    (found,) = torch.autograd.grad(rules.w2_rule(op), x, torch.tensor([[3.0]]))
    assert found.tolist() == [[1.5, 1.5]]


def by_hand(net: nn.Sequential, x, target: int, special: str | None, convolution: str, dense: str):
    """A composite over a sequential network, by dense matrices of its layers; one sample, float64."""
    before = [x]
    for layer in net:
        before.append(layer(before[-1]))
    relevance = torch.zeros_like(before[-1])
    relevance[0, target] = before[-1][0, target]
    first = next(i for i, layer in enumerate(net) if isinstance(layer, nn.Conv2d | nn.Linear))
    for i in reversed(range(len(net))):
        layer, inside = net[i], before[i].detach()
        if isinstance(layer, nn.Conv2d | nn.Linear):
            number = inside.numel()
            units = torch.eye(number, dtype=torch.float64).view(number, *inside.shape[1:])
            offset = layer(torch.zeros_like(inside)).flatten().detach()
            matrix = (layer(units) - layer(torch.zeros_like(inside))).flatten(1).T.detach()
            rule = convolution if isinstance(layer, nn.Conv2d) else dense
            rule = special if i == first and special else rule
            relevance = by_formula(rule, inside.flatten(), matrix, offset, relevance.flatten()).view_as(inside)
        elif isinstance(layer, nn.ReLU):
            continue
        else:  # Pooling and flattening: relevance by contribution, to winners.
            leaf = inside.clone().requires_grad_(True)
            result = layer(leaf)
            weight = relevance if isinstance(layer, nn.MaxPool2d) else relevance / torch.where(result != 0, result, 1)
            (back,) = torch.autograd.grad(result, leaf, weight.view_as(result))
            relevance = back if isinstance(layer, nn.MaxPool2d) else inside * back
    return relevance.sum(dim=1)


COMPOSITES = {
    "epsilon": (None, "epsilon", "epsilon"),
    "epsilon_plus": (None, "plus", "epsilon"),
    "epsilon_plus_flat": ("flat", "plus", "epsilon"),
    "epsilon_alpha2_beta1": (None, "alpha_beta", "epsilon"),
    "epsilon_alpha2_beta1_flat": ("flat", "alpha_beta", "epsilon"),
    "epsilon_gamma_box": ("box", "gamma", "epsilon"),
    "gamma": (None, "gamma", "gamma"),
}


def small_cnn() -> nn.Sequential:
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3),
    ).double().eval()  # fmt: skip


@pytest.mark.parametrize("rule", COMPOSITES)
def test_composites_by_hand(rule):
    net = small_cnn()
    inputs = make_inputs(RGB, 2).double()
    view = make_view(net, inputs, targets=torch.tensor([0, 2]))
    bounds = {"low": LOW, "high": HIGH} if "box" in rule else {}
    found = run("lrp", view, rule=rule, epsilon=1e-13, **bounds)
    for row in range(2):
        expected = by_hand(net, inputs[row : row + 1], int(view.targets[row]), *COMPOSITES[rule])
        torch.testing.assert_close(found[row], expected[0].float(), rtol=1e-4, atol=1e-6)


def test_two_branches_from_the_inputs_are_both_first():
    """Behind 1x1 convolutions that divide equally, all channels of a place have the same relevance."""

    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.late, self.head = nn.Conv2d(4, 4, 1), nn.Linear(4, 3)
            self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.head((self.late(self.one(x).relu()) + self.two(x)).relu().mean((2, 3)))

    view = make_view(Branches().double().eval(), make_inputs(RGB, 4).double())
    for rule, equal in (("epsilon_plus_flat", True), ("epsilon_plus", False)):
        total, norm = (run("lrp", view, rule=rule, channels=c) for c in ("sum", "norm"))
        assert total.abs().max() > 0.01
        assert torch.allclose(norm, total.abs() / 3**0.5, rtol=1e-4, atol=1e-6) == equal


@pytest.mark.parametrize("rule", COMPOSITES)
def test_batch_normalisation_is_merged_under_every_composite(rule):
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    norm.weight.data.normal_()
    norm.bias.data.normal_()
    fused = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.eval(), norm.eval())
    tail = [nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    bounds = {"low": -4.0, "high": 4.0} if "box" in rule else {}
    maps = [
        run("lrp", make_view(nn.Sequential(*m, *tail).double().eval(), make_inputs(RGB).double()), rule=rule, **bounds)
        for m in ([conv, norm], [fused])
    ]
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-5)


class Standardised(nn.Module):
    def __init__(self, net, mean, deviation):
        super().__init__()
        self.net = net
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("deviation", deviation.view(1, -1, 1, 1))

    def forward(self, x):
        return self.net((x - self.mean) / self.deviation)


@pytest.mark.parametrize("name", ["lrp", "deep_taylor"])
def test_bounds_follow_a_standardisation_inside_the_network(name):
    """The same as a first layer that takes raw inputs, with the standardisation folded into it."""
    net = small_cnn()
    mean, deviation = torch.tensor([0.2, -0.1, 0.4]).double(), torch.tensor([0.5, 1.5, 2.0]).double()
    folded = copy.deepcopy(net)
    folded[0] = nn.Conv2d(3, 4, 3).double()
    unpadded = copy.deepcopy(net)
    unpadded[0] = nn.Conv2d(3, 4, 3).double()
    with torch.no_grad():
        folded[0].weight.copy_(unpadded[0].weight / deviation.view(1, -1, 1, 1))
        moved = (unpadded[0].weight * (mean / deviation).view(1, -1, 1, 1)).sum((1, 2, 3))
        folded[0].bias.copy_(unpadded[0].bias - moved)
        for net_ in (folded, unpadded):
            net_[7] = nn.Linear(5, 6).double()
            net_[7].weight.fill_(0.3)
            net_[7].bias.zero_()
    params = {"low": -3.0, "high": 3.0, **({"rule": "epsilon_gamma_box"} if name == "lrp" else {})}
    inputs = make_inputs(RGB, 4).double()
    one, two = (
        run(name, make_view(m, inputs), **params)
        for m in (Standardised(unpadded, mean, deviation).double().eval(), folded.eval())
    )
    assert one.abs().max() > 0
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_padding_before_the_first_layer_is_no_input():
    torch.manual_seed(0)
    inside = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)).double().eval()
    apart = nn.Sequential(nn.ZeroPad2d(1), copy.deepcopy(inside[0]), *inside[1:]).eval()
    apart[1].padding = (0, 0)
    inputs = make_inputs(RGB, 3).double()
    for rule in ("epsilon_plus_flat", "epsilon_gamma_box"):
        params = {"low": -4.0, "high": 4.0} if "box" in rule else {}
        one, two = (run("lrp", make_view(m, inputs), rule=rule, **params) for m in (inside, apart))
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-8)


def test_z_b_without_bounds_is_refused_and_the_background_has_them():
    net, inputs = small_cnn(), make_inputs(RGB, 3).double()
    with pytest.raises(UnsupportedError, match="lowest and the highest value"):
        run("lrp", make_view(net, inputs), rule="epsilon_gamma_box")
    background = make_inputs(RGB, 9, seed=4).double()
    background[:, :, 0, 0], background[:, :, 0, 1] = -5.0, 5.0
    found = run("lrp", make_view(net, inputs, background=background), rule="epsilon_gamma_box")
    torch.testing.assert_close(found, run("lrp", make_view(net, inputs), rule="epsilon_gamma_box", low=-5.0, high=5.0))
    with pytest.raises(UsageError, match="below"):
        run("lrp", make_view(net, inputs), rule="epsilon_gamma_box", low=1.0, high=0.0)
    with pytest.raises(UsageError, match="pass both"):
        run("lrp", make_view(net, inputs), rule="epsilon_gamma_box", low=1.0)
    with pytest.raises(UsageError, match="gamma"):
        run("lrp", make_view(net, inputs), rule="gamma", gamma=-1.0)

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(torch.einsum("ncxy,cd->ndxy", x, torch.eye(3, dtype=torch.float64) - 0.5))

    with pytest.raises(UnsupportedError, match="more to its inputs"):
        run("lrp", make_view(Mixed().eval(), inputs), rule="epsilon_gamma_box", low=-3.0, high=3.0)


def test_parameters_that_came_later_are_in_no_key_at_their_default():
    keyed = json.loads(ComponentRef.of("explainer", "lrp", {}).keyed)
    assert keyed == {"rule": "epsilon_plus", "epsilon": 1e-6, "channels": "sum"}
    assert json.loads(ComponentRef.of("explainer", "lrp", {"gamma": 0.5}).keyed)["gamma"] == 0.5
    assert "gamma" not in json.loads(ComponentRef.of("explainer", "lrp", {"gamma": 0.25}).keyed)


# Deep Taylor decomposition.


@pytest.mark.parametrize("bounds", [{}, {"low": -5.0, "high": 5.0}])
@pytest.mark.parametrize(
    ("net", "shape"), [(small_cnn(), RGB), (plain_cnn().double(), IMAGE), (mlp(TABLE).double(), TABLE)]
)
@pytest.mark.parametrize("output", ["logit", "margin", "probability"])
def test_deep_taylor_conserves_the_positive_part_and_is_not_negative(net, shape, bounds, output):
    view = make_view(net, make_inputs(shape, 6).double(), targets=torch.arange(6) % 3, output=output)
    found = run("deep_taylor", view, **bounds)
    expected = view.scores(view.inputs).clamp(min=0)
    assert (expected > 0).any()
    torch.testing.assert_close(found.double().flatten(1).sum(1), expected, rtol=1e-4, atol=1e-6)
    assert (found >= 0).all()


def test_deep_taylor_of_one_neuron():
    net = nn.Sequential(nn.Linear(3, 1), nn.ReLU()).double().eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, -2.0, 3.0]]))
        net[0].bias.fill_(0.5)
    from xaibench.core.predictor import TorchPredictor

    x = torch.tensor([[1.0, 0.5, 2.0], [-9.0, 0.0, 0.0]]).double()
    view = make_view(TorchPredictor(net, "value"), x, targets=torch.zeros(2, dtype=torch.int64))
    found = run("deep_taylor", view)
    torch.testing.assert_close(found, torch.tensor([[1.0, 4, 9], [0, 0, 0]]) / 14 * 6.5)


def test_deep_taylor_of_a_unit_that_is_active_by_its_bias_alone():
    """Two hidden units: one with terms, one whose terms are all negative and whose bias is 9."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double().eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
        net[0].bias.zero_()
        net[2].weight.copy_(torch.tensor([[1.0, 1.0], [-1.0, -2.0]]))
        net[2].bias.copy_(torch.tensor([0.0, 9.0]))
        net[4].weight.fill_(1.0)
        net[4].bias.zero_()
    from xaibench.core.predictor import TorchPredictor

    x = torch.tensor([[1.0, 2.0]]).double()
    view = make_view(TorchPredictor(net, "value"), x, targets=torch.zeros(1, dtype=torch.int64))
    # Outputs 3 and 9 - 5 = 4. The first divides 1 : 2, the second by squared weights 1 : 4.
    expected = torch.tensor([[1 + 4 / 5, 2 + 16 / 5]])
    torch.testing.assert_close(run("deep_taylor", view), expected)


def test_deep_taylor_refuses_differences_of_activations():
    class Difference(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.one(x).relu() - self.two(x).relu())

    with pytest.raises(UnsupportedError, match="no rule for 'sub'"):
        run("deep_taylor", make_view(Difference().eval(), make_inputs(TABLE)))
