"""Which layer Grad-CAM uses: maps made by hand at the named module, over the architectures in use."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers.builders import make_inputs, make_view
from helpers.cam_nets import ARCHITECTURES, SIDE, build
from helpers.explainer_cases import run
from torch import nn
from torch.nn import functional

from xaibench.explainers.cam_layers import feature_layer

CLOSE = {"rtol": 1e-4, "atol": 1e-7}


def inputs_of(n=5, side=SIDE):
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
    net, inputs = build(architecture), inputs_of(6)
    view = make_view(net, inputs, targets=torch.arange(6) % 3)
    name, to_maps = architecture.target
    by_hand = at_layer(net, name, to_maps, inputs, view.targets)
    assert by_hand.flatten(1).amax(1).max() > 0
    torch.testing.assert_close(run("grad_cam", view), by_hand, **CLOSE)
    torch.testing.assert_close(run("grad_cam", view, layer=name), by_hand, **CLOSE)


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
