"""LRP and DeepLift against closed forms and Captum, over many architectures."""

from __future__ import annotations

import copy
import warnings

import captum.attr
import pytest
import torch
from helpers.architectures import IMAGE, SEQUENCE, TABLE, Written, relu_networks, settled, smooth_networks
from helpers.builders import make_inputs, make_view
from helpers.explainer_cases import run
from torch import nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError
from xaibench.core.predictor import TorchPredictor

RELU, SMOOTH = relu_networks(), smooth_networks()
ALL = RELU | SMOOTH


def view_of(name: str, **options):
    net, shape = ALL[name]
    inputs = make_inputs(shape, 7).double()
    return make_view(net, inputs, features="series" if shape == SEQUENCE else None, **options)


@pytest.mark.parametrize("name", RELU)
def test_epsilon_rule_is_input_times_gradient(name):
    """Ancona et al. 2018, Prop. 1; merged, unmerged and misaligned batch normalisation among the networks."""
    view = view_of(name)
    found = run("lrp", view, rule="epsilon", epsilon=1e-13)
    torch.testing.assert_close(found, run("input_x_gradient", view), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", [name for name, (_, shape) in RELU.items() if shape == IMAGE])
def test_plus_rule_is_bounded(name):
    view = view_of(name)
    size = run("lrp", view).abs().flatten(1).sum(dim=1)
    assert (size < 20 * view.scores(view.inputs).abs() + 5).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_deep_lift_is_complete(name, output):
    background = make_inputs(ALL[name][1], 9, seed=3).double()
    view = view_of(name, output=output, background=background)
    for baseline in ("zero", "mean"):
        gap = view.scores(view.inputs) - view.scores(view.baseline(baseline))
        total = run("deep_lift", view, baseline=baseline).flatten(1).sum(dim=1).double()
        torch.testing.assert_close(total, gap, rtol=1e-3, atol=1e-4)


MODULAR = (
    "mlp", "mlp with batch norm", "batch norm of the inputs", "two batch norms in a row", "depthwise",
    "batch norm behind the activation", "batch norm behind pooling", "batch norm over time, other sizes",
    "Sigmoid", "Softplus", "Tanh",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULAR)
def test_captum_agrees_on_deep_lift(name):
    """Networks in which every activation is a module, stands alone, and is used once."""
    net = copy.deepcopy(ALL[name][0])
    for i, layer in enumerate(net):
        net[i] = copy.deepcopy(layer)
    view = view_of(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        theirs = captum.attr.DeepLift(net).attribute(view.inputs, torch.zeros_like(view.inputs), target=view.targets)
    torch.testing.assert_close(
        run("deep_lift", view), view.layout.reduce(theirs).detach().float(), rtol=1e-5, atol=1e-7
    )


def test_where_a_network_puts_its_samples_does_not_matter():
    """The same functions with time first and with samples first."""
    for name in ("time first", "tanh, time first"):
        net, _ = ALL[name]
        layers = net.layers
        twin = Written(
            lambda m, x: m["head"](m["act"](m["second"](m["act"](m["first"](x)))).mean(dim=1)), **dict(layers.items())
        ).eval()
        there, here = view_of(name), make_view(twin, make_inputs(SEQUENCE, 7).double(), features="series")
        for explainer in ("deep_lift", "lrp"):
            torch.testing.assert_close(run(explainer, there), run(explainer, here), rtol=1e-6, atol=1e-9)


def test_batch_norm_over_time_behind_a_dense_layer():
    """The network and the inputs of the report: LRP explained another one."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    net.train()
    for _ in range(20):
        net(torch.randn(64, 4, 3) * torch.arange(1, 5).view(1, 4, 1) + 1)
    view = make_view(net.eval(), make_inputs((4, 3)), features="series")
    found = run("lrp", view, rule="epsilon", epsilon=1e-9)
    torch.testing.assert_close(found, run("input_x_gradient", view), rtol=1e-3, atol=1e-5)


def test_deep_lift_by_hand_for_relu_then_max_pooling():
    """Maxima of pairs rise from .9 to 1 and from .2 to .4; Captum 0.9 sums to 1.0 here."""
    net = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(2, 1, bias=False))
    nn.init.constant_(net[-1].weight, 1.0)
    x, background = torch.tensor([[1.0, 0.5, -0.3, 0.4]]), torch.tensor([[0.3, 0.9, 0.2, 0.05]])
    view = make_view(TorchPredictor(net.eval(), "value"), x, background=background)
    expected = torch.tensor([[0.1, 0.0, 0.0, 0.2]])
    torch.testing.assert_close(run("deep_lift", view, baseline="mean"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["deep_lift", "lrp"])
def test_activations_in_place_are_those_that_are_not(name):
    net, shape = SMOOTH["in place"]
    twin = copy.deepcopy(net)
    for layer in twin:
        if hasattr(layer, "inplace"):
            layer.inplace = False
    maps = [run(name, make_view(m, make_inputs(shape).double())) for m in (net, twin)]
    torch.testing.assert_close(*maps)


@pytest.mark.parametrize("unit", [1e-9, 1e-4, 1e3, 1e7])
def test_deep_lift_knows_no_unit(unit):
    """A difference is small in comparison with the numbers at hand, and not with 1."""
    net, _ = RELU["siamese"]
    inputs = make_inputs(TABLE, 7).double()
    background = make_inputs(TABLE, 9, seed=3).double()
    scaled = Written(lambda m, x: m["net"](x / unit), net=net).eval()
    expected = run("deep_lift", make_view(net, inputs, background=background), baseline="mean")
    found = run("deep_lift", make_view(scaled, inputs * unit, background=background * unit), baseline="mean")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("steepness", [1, 30, 300, 3000])
@pytest.mark.parametrize("inside", [True, False])
def test_deep_lift_of_steep_softmax_is_complete(steepness, inside):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3)).eval()
    net[2].weight.data *= steepness
    end = nn.Sequential(nn.Softmax(1), nn.Linear(3, 3)) if inside else nn.Identity()
    view = make_view(nn.Sequential(net, end).eval(), make_inputs(TABLE), output=None if inside else "probability")
    gap = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    torch.testing.assert_close(run("deep_lift", view).sum(dim=1), gap, rtol=1e-2, atol=5e-3)


class Half(nn.Module):
    """What reads neighbours, draws or counts: the same inputs alone give other outputs."""

    def __init__(self, change) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.change = nn.Linear(6, 8), nn.Linear(8, 3), change
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, inputs):
        return self.last(self.change(self, self.first(inputs)))


def counting(net, h):
    net.calls += 1
    return h * net.calls.clone()


def half_in_place(net, h):
    functional.relu(h[:, :4], inplace=True)
    return h


def flattened_in_place(net, h):
    functional.relu(h.view(-1), inplace=True)
    return h


OTHER = {
    "noise": lambda net, h: h + torch.randn(8),
    "drawn weights": lambda net, h: functional.linear(h, torch.randn(8, 8)),
    "a permutation": lambda net, h: h[:, torch.randperm(8)],
    "a counter": counting,
    "a part in place": half_in_place,
    "a view in place": flattened_in_place,
}


@pytest.mark.parametrize("name", ["deep_lift", "lrp"])
@pytest.mark.parametrize("case", OTHER)
def test_a_pass_that_gives_other_outputs_is_refused(name, case):
    view = make_view(Half(OTHER[case]).eval(), make_inputs(TABLE), targets=torch.zeros(8, dtype=torch.int64))
    with pytest.raises(UnsupportedError, match="another function"):
        run(name, view)


def test_a_merge_on_the_wrong_axis_is_noticed(monkeypatch):
    """A planted fault: batch normalisation is merged as it was."""
    monkeypatch.setattr("xaibench.explainers.engines.affine_layers.channel_axis", lambda op, result: 1)
    with pytest.raises(UnsupportedError, match="another function"):
        run("lrp", view_of("batch norm over time, equal sizes"))


def test_an_incomplete_rule_is_noticed(monkeypatch):
    """A planted fault: activations pass on their derivative."""
    monkeypatch.setattr("xaibench.explainers.deep_lift._rescale", lambda op, start, at_start: op(*op.inputs))
    with pytest.raises(UnsupportedError, match="add up"):
        run("deep_lift", view_of("Tanh"))


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["deep_lift", "lrp"])
def test_rounding_is_no_reason_to_refuse(name, dtype, scale):
    """One sample whose outputs all but cancel, batch normalisation of nearly constant channels, any scale."""
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3, bias=False))
    settled(net)
    net[1].running_var.fill_(1e-5)
    net[0].bias.data += 100
    net[1].running_mean += 100
    net[4].weight.data *= scale
    net[4].weight.data[:, 1::2] = -net[4].weight.data[:, ::2]
    wrapped = Written(lambda m, x: m["net"](x.to(dtype)).float(), net=net.to(dtype)).eval()
    view = make_view(wrapped, make_inputs(IMAGE, 1), targets=torch.zeros(1, dtype=torch.int64))
    assert torch.isfinite(run(name, view)).all()


def test_the_sample_may_be_the_reference():
    view = make_view(RELU["cnn"][0], torch.zeros(2, *IMAGE, dtype=torch.float64))
    assert torch.equal(run("deep_lift", view), torch.zeros(2, 8, 8))
