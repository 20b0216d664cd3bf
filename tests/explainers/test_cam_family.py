"""Class activation maps: identities between them, closed forms, and what they refuse."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.cam_nets import CONVOLUTIONAL, MobileNetV2, ResNet, build
from helpers.cam_transformers import ViT
from helpers.explainer_cases import mean_cnn, run, spec_of
from torch import nn
from torch.nn import functional

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.explainers.cam_layers import feature_layer
from xaibench.explainers.cam_passes import maps_and_gradients, maps_gradients_and_curvature

FAMILY = (
    "grad_cam", "hires_cam", "layer_cam", "grad_cam_pp", "smooth_grad_cam_pp", "xgrad_cam", "shapley_cam", "eigen_cam",
    "score_cam", "ablation_cam",
)  # fmt: skip
SHAPE = (3, 12, 12)
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def flat_cnn(seed: int = 0) -> nn.Sequential:
    """A CNN that ends in one linear layer over all places."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 7, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(7 * 36, 4),
    ).eval()  # fmt: skip


def at_maps(net: nn.Sequential, view, behind: int):
    """Maps behind some of the layers, and the gradient of the target's output there, by autograd alone."""
    maps = net[:behind](view.inputs).detach().requires_grad_(True)
    picked = net[behind:](maps).gather(1, view.targets[:, None]).sum()
    (gradient,) = torch.autograd.grad(picked, maps)
    return maps.detach(), gradient


def enlarged(coarse: torch.Tensor, side: int = 12) -> torch.Tensor:
    return functional.interpolate(coarse.clamp(min=0)[:, None], (side, side), mode="bilinear")[:, 0]


def test_cam_is_a_multiple_of_grad_cam_and_hires_cam_behind_a_mean_and_one_linear_layer():
    net = mean_cnn(SHAPE)
    view = make_view(net, make_inputs(SHAPE, 6), targets=torch.arange(6) % 3)
    maps = net[:5](view.inputs).detach()
    weights = net[-1].weight.detach()[view.targets]
    found = run("cam", view)
    torch.testing.assert_close(found, enlarged(torch.einsum("nk,nkhw->nhw", weights, maps)), **CLOSE)
    assert found.max() > 0.01
    torch.testing.assert_close(36 * run("grad_cam", view), found, **CLOSE)
    torch.testing.assert_close(36 * run("hires_cam", view), found, **CLOSE)
    losses = torch.einsum("nk,nk,nkhw->nhw", weights, maps.mean((2, 3)), maps)
    torch.testing.assert_close(run("ablation_cam", view), enlarged(losses), **CLOSE)


@pytest.mark.parametrize(
    "net",
    [
        flat_cnn(),
        nn.Sequential(*mean_cnn(SHAPE)[:-1], nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval(),
        nn.Sequential(*mean_cnn(SHAPE), nn.Softmax(1)).eval(),
        nn.Sequential(*mean_cnn(SHAPE)[:5], nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval(),
        nn.Sequential(*mean_cnn(SHAPE)[:5], nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3)).eval(),
    ],
    ids=["all places", "two layers", "softmax", "maximum", "four means"],
)
def test_cam_is_refused_for_other_networks(net):
    with pytest.raises(UnsupportedError, match="CAM needs global average pooling and one linear layer behind it"):
        run("cam", make_view(net, make_inputs(SHAPE, 3)))


@pytest.mark.parametrize("architecture", [MobileNetV2, ResNet], ids=lambda a: a.__name__)
def test_cam_takes_architectures_that_end_in_a_mean(architecture):
    view = make_view(build(architecture), make_inputs((3, 16, 16), 4))
    target = feature_layer(view)
    places = target.grid[0] * target.grid[1]
    torch.testing.assert_close(run("cam", view), places * run("grad_cam", view), **CLOSE)


def test_hires_cam_sums_to_the_logit_without_its_bias():
    net = flat_cnn()
    view = make_view(net, make_inputs(SHAPE, 5))
    for maps, gradient in maps_and_gradients(view, feature_layer(view)):
        total = (maps * gradient).sum(dim=(1, 2, 3))
        torch.testing.assert_close(total, view.scores(view.inputs) - net[-1].bias[view.targets].detach(), **CLOSE)


def test_closed_forms_by_autograd_alone():
    net = flat_cnn()
    view = make_view(net, make_inputs(SHAPE, 5))
    maps, gradient = at_maps(net, view, 5)
    total = maps.sum((2, 3), keepdim=True)
    expected = {
        "hires_cam": (gradient * maps).sum(1),
        "layer_cam": (gradient.clamp(min=0) * maps).sum(1),
        "grad_cam_pp": ((gradient.clamp(min=0) / (2 + total * gradient)).sum((2, 3), keepdim=True) * maps).sum(1),
        "xgrad_cam": ((maps / total.clamp(min=1e-30) * gradient).sum((2, 3), keepdim=True) * maps).sum(1),
        "shapley_cam": (gradient.mean((2, 3), keepdim=True) * maps).sum(1),
    }
    for name, coarse in expected.items():
        found = run(name, view)
        torch.testing.assert_close(found, enlarged(coarse), **CLOSE)
        assert found.max() > 1e-4


def test_grad_cam_pp_has_the_weights_of_the_paper():
    net = flat_cnn()
    view = make_view(net, make_inputs(SHAPE, 5))
    maps, gradient = (t.double() for t in at_maps(net, view, 5))
    alpha = gradient**2 / (2 * gradient**2 + maps.sum((2, 3), keepdim=True) * gradient**3)
    weights = (alpha * gradient.clamp(min=0)).sum((2, 3), keepdim=True)
    torch.testing.assert_close(run("grad_cam_pp", view), enlarged((weights * maps).sum(1)).float(), **CLOSE)


def test_smooth_grad_cam_pp_without_noise_is_grad_cam_pp_and_with_noise_has_the_moments():
    net = flat_cnn()
    view = make_view(net, make_inputs(SHAPE, 3))
    torch.testing.assert_close(run("smooth_grad_cam_pp", view, radius=0.0), run("grad_cam_pp", view), **CLOSE)
    noise = view.draws("explain").normal((8, *SHAPE))
    gradients = []
    for k in range(8):
        noisy = view.take(slice(None), view.inputs + 0.5 * noise[:, k])
        gradients.append(at_maps(net, noisy, 5)[1].double())
    first, second, third = (torch.stack([g**p for g in gradients]).mean(0) for p in (1, 2, 3))
    maps = net[:5](view.inputs).detach().double()
    alpha = second / (2 * second + maps.sum((2, 3), keepdim=True) * third)
    coarse = ((alpha * first.clamp(min=0)).sum((2, 3), keepdim=True) * maps).sum(1)
    found = run("smooth_grad_cam_pp", view, n_samples=8, radius=0.5)
    torch.testing.assert_close(found, enlarged(coarse).float(), **CLOSE)


def test_xgrad_cam_keeps_the_sum_of_hires_cam():
    """Before negative parts are cut: at 1x1 places the enlargement keeps sums, so weights are compared at the layer."""
    view = make_view(flat_cnn(), make_inputs(SHAPE, 5))
    for maps, gradient in maps_and_gradients(view, feature_layer(view)):
        total = maps.sum((2, 3))
        weights = (maps * gradient).sum((2, 3)) / torch.where(total > 0, total, 1)
        torch.testing.assert_close((weights * total).sum(1), (maps * gradient).sum((1, 2, 3)), **CLOSE)


def test_xgrad_cam_takes_maps_that_sum_to_nothing():
    """A map of +1 and -1 sums to 0; its weight would be infinite."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(32, 2)).eval()
    inputs = torch.ones(1, 1, 4, 4)
    inputs[..., ::2] = -1
    view = make_view(net, inputs)
    assert run("xgrad_cam", view).abs().max() == 0
    assert run("hires_cam", view).max() > 0


def test_shapley_cam_is_grad_cam_on_piecewise_linear_tails_and_exact_on_a_quadratic_one():
    view = make_view(flat_cnn(), make_inputs(SHAPE, 5))
    assert torch.equal(run("shapley_cam", view), run("grad_cam", view))

    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.conv(x).relu().mean((2, 3)).square())

    net = Squares().eval()
    view = make_view(net, make_inputs(SHAPE, 4))
    # f = sum_k c_k m_k^2 with the means m_k: G = 2 c m / 144, H A = 2 c m / 144, and half of it is taken away.
    ((_, gradient, curvature),) = maps_gradients_and_curvature(view, feature_layer(view))
    torch.testing.assert_close(curvature, gradient, **CLOSE)
    torch.testing.assert_close(run("shapley_cam", view), run("grad_cam", view) / 2, **CLOSE)


def test_shapley_cam_goes_through_fused_attention():
    assert torch.isfinite(run("shapley_cam", make_view(build(ViT), make_inputs((3, 16, 16), 3)))).all()


@pytest.mark.parametrize("centre", [False, True])
def test_eigen_cam_is_the_first_component(centre):
    net = flat_cnn()
    view = make_view(net, make_inputs(SHAPE, 5))
    maps = net[:5](view.inputs).detach().double()
    found = run("eigen_cam", view, centre=centre)
    for row, own in enumerate(maps):
        places = own.flatten(1).T
        places = places - places.mean(0) if centre else places
        _, vectors = torch.linalg.eigh(places.T @ places)
        first = vectors[:, -1] * torch.sign((own.flatten(1).T @ vectors[:, -1]).sum())
        torch.testing.assert_close(
            found[row], enlarged((places @ first).view(1, 6, 6))[0].float(), rtol=1e-3, atol=1e-5
        )
    others = view.take(slice(None))
    object.__setattr__(others, "targets", (view.targets + 1) % 4)
    assert torch.equal(run("eigen_cam", others, centre=centre), found)


def test_score_cam_by_hand():
    net = flat_cnn()
    view = make_view(net, make_inputs(SHAPE, 3))
    maps = net[:5](view.inputs).detach()
    up = functional.interpolate(maps, (12, 12), mode="bilinear")
    low, high = up.amin((2, 3), keepdim=True), up.amax((2, 3), keepdim=True)
    masks = torch.where(high > low, (up - low) / (high - low).clamp(min=1e-30), 0)
    scores = torch.stack(
        [net(view.inputs * masks[:, k : k + 1]).gather(1, view.targets[:, None])[:, 0] for k in range(7)], dim=1
    ).detach()
    coarse = torch.einsum("nk,nkhw->nhw", torch.softmax(scores, 1), maps)
    torch.testing.assert_close(run("score_cam", view), enlarged(coarse), **CLOSE)
    few = maps.flatten(2).std(2).argsort(1, descending=True)[:, :3]
    chosen = torch.einsum(
        "nk,nkhw->nhw",
        torch.softmax(scores.gather(1, few), 1),
        maps.gather(1, few[..., None, None].expand(-1, -1, 6, 6)),
    )
    torch.testing.assert_close(run("score_cam", view, max_channels=3), enlarged(chosen), **CLOSE)


@pytest.mark.parametrize("inplace", [False, True])
def test_ablation_cam_by_hand_whatever_the_activation_is(inplace):
    net = flat_cnn()
    changed = copy.deepcopy(net)
    changed[4].inplace = inplace
    view = make_view(changed, make_inputs(SHAPE, 3))
    maps = net[:5](view.inputs).detach()
    weights = torch.zeros(3, 7)
    for k in range(7):
        without = maps.clone()
        without[:, k] = 0
        lost = net[5:](maps) - net[5:](without)
        weights[:, k] = lost.gather(1, view.targets[:, None])[:, 0].detach()
    coarse = torch.einsum("nk,nkhw->nhw", weights, maps)
    torch.testing.assert_close(run("ablation_cam", view), enlarged(coarse), **CLOSE)
    torch.testing.assert_close(run("ablation_cam", view, layer="4"), enlarged(coarse), **CLOSE)


def test_layer_cam_averages_layers():
    net = flat_cnn()
    view = make_view(net, make_inputs(SHAPE, 3))
    one, two = run("layer_cam", view, layer="1"), run("layer_cam", view, layer="4")
    both = run("layer_cam", view, layer=["1", "4"])
    expected = (one / one.amax((1, 2), keepdim=True) + two / two.amax((1, 2), keepdim=True)) / 2
    torch.testing.assert_close(both, expected, **CLOSE)
    assert torch.equal(run("layer_cam", view, layer=["4"]), two)
    used = spec_of("layer_cam").layer_used
    assert used(view, layer=["1", "4"]) == "1 relu (5, 12, 12); 4 relu (7, 6, 6)"
    with pytest.raises(UsageError, match="names no layer"):
        run("layer_cam", view, layer=[])


@pytest.mark.parametrize("name", [n for n in FAMILY if n not in ("grad_cam_pp", "smooth_grad_cam_pp", "score_cam")])
def test_the_scale_of_the_logit_is_a_factor_of_the_map(name):
    net = flat_cnn()
    scaled = copy.deepcopy(net)
    with torch.no_grad():
        scaled[-1].weight *= 4
        scaled[-1].bias *= 4
    inputs = make_inputs(SHAPE, 3)
    one, four = run(name, make_view(net, inputs)), run(name, make_view(scaled, inputs))
    factor = 1 if name == "eigen_cam" else 4
    torch.testing.assert_close(four, factor * one, **CLOSE)


@pytest.mark.parametrize("name", ["grad_cam_pp", "smooth_grad_cam_pp", "score_cam"])
def test_three_maps_depend_on_the_scale_of_the_logit(name):
    """By definition, and printed on the pages: not an error."""
    net = flat_cnn()
    scaled = copy.deepcopy(net)
    with torch.no_grad():
        scaled[-1].weight *= 4
        scaled[-1].bias *= 4
    inputs = make_inputs(SHAPE, 3)
    one, four = (run(name, make_view(m, inputs)).flatten(1) for m in (net, scaled))
    one, four = (maps / maps.amax(1, keepdim=True) for maps in (one, four))
    assert (one - four).abs().max() > 0.01


@pytest.mark.parametrize("name", ["grad_cam_pp", "smooth_grad_cam_pp"])
def test_a_pole_is_refused(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Flatten(), nn.Linear(720, 4)).eval()
    with torch.no_grad():
        net[0].bias.fill_(-3)
    with pytest.raises(UnsupportedError, match="pole"):
        run(name, make_view(net, make_inputs(SHAPE, 3)))


@pytest.mark.parametrize("name", FAMILY)
def test_all_spellings_of_an_activation_have_one_map(name):
    class Spelled(nn.Module):
        def __init__(self, relu):
            super().__init__()
            torch.manual_seed(5)
            self.conv, self.head, self.relu = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(5, 3), relu

        def forward(self, x):
            hidden = self.conv(x)
            raised = self.relu(hidden)
            return self.head((hidden if raised is None else raised).mean((2, 3)))

    spellings = [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        functional.relu,
        torch.relu_,
        lambda h: torch.relu_(h) is None or None,
    ]
    maps = [run(name, make_view(Spelled(relu).eval(), make_inputs(SHAPE, 3))) for relu in spellings]
    assert maps[0].max() > 0
    for other in maps[1:]:
        torch.testing.assert_close(other, maps[0], **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in FAMILY if "pp" not in n])
@pytest.mark.parametrize("architecture", [*CONVOLUTIONAL, ViT], ids=lambda a: a.__name__)
def test_every_architecture_has_every_map_and_is_left_as_it_was(architecture, name):
    net, inputs = build(architecture), make_inputs((3, 16, 16), 3)
    before = copy.deepcopy(net.state_dict())
    view = make_view(net, inputs)
    together = run(name, view)
    assert torch.isfinite(together).all()
    torch.testing.assert_close(run(name, view.take(slice(1, 2))), together[1:2], rtol=1e-4, atol=1e-5)
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
