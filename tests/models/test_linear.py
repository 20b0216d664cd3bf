from __future__ import annotations

import pytest
import torch
from helpers.builders import cnn, linear, make_inputs, make_view
from torch import nn

from xaibench.core.errors import UnsupportedError
from xaibench.core.features import infer_layout
from xaibench.models.linear import truth_weights


@pytest.mark.parametrize("shape", [(6,), (1, 8, 8), (3, 8, 8)])
def test_slopes_are_the_gradient_of_the_target_logit(shape: tuple[int, ...]):
    module, inputs = linear(shape), make_inputs(shape)
    targets = torch.arange(len(inputs)) % 3
    view = make_view(module, inputs, targets=targets)
    layout = infer_layout(shape)
    found = truth_weights(module, inputs, targets, layout)
    assert found.shape == (len(inputs), *layout.feature_shape)
    torch.testing.assert_close(found, layout.reduce(view.gradients(inputs)))
    if layout.channels in (None, 1):
        assert torch.equal(found.flatten(1), module[1].weight[targets])


def test_the_truth_is_a_copy_without_gradients():
    module = linear((6,))
    found = truth_weights(module, torch.zeros(1, 6), torch.tensor([0]), infer_layout((6,)))
    assert not found.requires_grad
    before = module[1].weight.clone()
    found += 1
    assert torch.equal(module[1].weight, before)


@pytest.mark.parametrize(
    "module",
    [cnn(), nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)), nn.Sequential(nn.Linear(6, 3), nn.Softmax(dim=1))],
)
def test_other_models_have_no_such_truth(module: nn.Module):
    with pytest.raises(UnsupportedError, match="only if it is linear"):
        truth_weights(module, torch.zeros(1, 6), torch.tensor([0]), infer_layout((6,)))
