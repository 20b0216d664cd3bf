"""Coloured squares: the mask is what changes with the colour, and architectures give the layers that they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import make_view
from helpers.explainer_cases import run

from xaibench.core.data import Data
from xaibench.datasets.coloured_square import SQUARE, coloured_square
from xaibench.explainers.cam_layers import feature_layer
from xaibench.models.small_architectures import _BUILDERS

LAYERS = {
    "resnet": ("relu", (64, 8, 8)),
    "vgg": ("relu", (48, 8, 8)),
    "densenet": ("relu", (64, 8, 8)),
    "mobilenet": ("relu6", (96, 8, 8)),
    "convnext": ("add", (32, 8, 8)),
    "vit": ("layer_norm", (65, 48)),
}


@pytest.fixture(scope="module")
def data() -> Data:
    return coloured_square(seed=1, train=8, test=16)


def network(data: Data, architecture: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return _BUILDERS[architecture](data).eval()


def test_only_the_square_changes_with_its_colour_and_both_are_where_the_masks_say(data: Data) -> None:
    assert data.test_mask is not None
    assert data.test_distractors is not None
    recoloured, moved, grey = (check.inputs for check in data.interventions)
    assert data.test_mask.sum(axis=(1, 2)).tolist() == [SQUARE**2] * 16
    assert not (data.test_mask & data.test_distractors).any()
    for changed in (recoloured, grey):
        where = (changed != data.test_inputs).any(axis=1)
        assert not (where & ~data.test_mask).any()
        assert where.sum() > 0.95 * data.test_mask.sum()
    assert not ((moved != data.test_inputs).any(axis=1) & data.test_mask).any()
    assert np.bincount(data.test_targets).tolist() == [4] * 4
    assert (data.interventions[0].targets != data.test_targets).all()


@pytest.mark.parametrize("architecture", LAYERS)
def test_layers_of_the_architectures(data: Data, architecture: str) -> None:
    view = make_view(network(data, architecture), torch.from_numpy(data.test_inputs[:2]))
    found = feature_layer(view)
    operation, shape = LAYERS[architecture]
    assert operation in found.label
    assert str(shape) in found.label
    assert found.grid == (8, 8)
    assert feature_layer(view, layer="default").label == found.label
    assert torch.equal(run("grad_cam", view, layer="default"), run("grad_cam", view))
    earlier = feature_layer(view, layer="earlier")
    assert earlier.grid in ((8, 8), (16, 16))
    assert "conv2d" in feature_layer(view, layer="convolution").label


def test_gradients_at_the_last_tokens_are_zero_and_the_rule_skips_them(data: Data) -> None:
    view = make_view(network(data, "vit"), torch.from_numpy(data.test_inputs[:2]))
    module = view.model.module
    kept: dict[str, torch.Tensor] = {}

    def keep(name):
        def hook(_module, _inputs, output):
            output.retain_grad()
            kept[name] = output

        return hook

    handles = [m.register_forward_hook(keep(n)) for n, m in (("norm", module.norm), ("last", module.last))]
    handles.append(module.last.norm1.register_forward_hook(keep("norm1")))
    module(view.inputs).sum(dim=0)[0].backward()
    for handle in handles:
        handle.remove()
    assert not kept["norm"].grad[:, 1:].any()
    assert not kept["last"].grad[:, 1:].any()
    assert kept["norm1"].grad[:, 1:].any()
    assert "last.norm1" in feature_layer(view).label
