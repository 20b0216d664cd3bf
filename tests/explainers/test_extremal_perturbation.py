"""Extremal perturbation: of additive outputs the mask of an area shows the patches that carry most."""

from __future__ import annotations

import pytest
import torch
from helpers.builders import cnn, make_inputs, make_view
from helpers.explainer_cases import run
from torch import nn

from xaibench.core.errors import UsageError
from xaibench.core.predictor import TorchPredictor


class Mean(nn.Module):
    """The value of an image is the mean of its pixels times a factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x.mean((1, 2, 3))[:, None]


def patches(weights, side, factor=8.0):
    """Images of patches of constant brightness, which is what showing a patch adds to the value."""
    x = weights.repeat_interleave(side, 2).repeat_interleave(side, 3)
    zero = torch.zeros(len(x), dtype=torch.int64)
    return make_view(TorchPredictor(Mean(factor).eval(), "value"), x, targets=zero)


@pytest.mark.slow
@pytest.mark.parametrize("shown", [1, 2])
def test_the_mask_of_an_area_is_the_patches_that_carry_most(shown):
    torch.manual_seed(0)
    weights = torch.stack([torch.randperm(4) for _ in range(8)]).view(8, 1, 2, 2) / 1.5
    found = run("extremal_perturbation", patches(weights, 12), masker="zero", areas=(shown / 4,), steps=200)
    means = nn.functional.avg_pool2d(found[:, None], 12).flatten(1)
    best = weights.flatten(1).topk(shown, dim=1).indices.sort(dim=1).values
    assert torch.equal(means.topk(shown, dim=1).indices.sort(dim=1).values, best)
    assert means.gather(1, best).min() > 0.8
    assert found.mean(dim=(1, 2)) == pytest.approx(shown / 4, abs=0.05)


def test_a_constant_output_has_a_flat_map():
    found = run("extremal_perturbation", patches(torch.ones(2, 1, 2, 2), 6, factor=0.0), masker="zero", steps=4)
    assert found.flatten(1).std(dim=1).max() < 1e-6


def test_of_a_uniform_output_no_place_is_preferred_in_the_first_steps():
    found = run("extremal_perturbation", patches(torch.ones(1, 1, 2, 2), 8), masker="zero", steps=2, areas=(0.5,))
    assert found[0, 4:12, 4:12].std() < 1e-5


def test_areas_are_added_up():
    view = make_view(cnn((3, 24, 20)), make_inputs((3, 24, 20), 2))
    each = [run("extremal_perturbation", view, steps=5, areas=(a,)) for a in (0.1, 0.4)]
    both = run("extremal_perturbation", view, steps=5, areas=(0.1, 0.4))
    torch.testing.assert_close(both, each[0] + each[1], rtol=1e-4, atol=1e-4)


def test_a_sample_alone_has_its_map():
    view = make_view(cnn((3, 24, 20)), make_inputs((3, 24, 20), 3))
    together = run("extremal_perturbation", view, steps=4)
    alone = run("extremal_perturbation", view.take(slice(1, 2)), steps=4)
    torch.testing.assert_close(alone, together[1:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("areas", [(), (0.0,), (0.3, 1.0)])
def test_areas_that_are_no_shares_are_refused(areas):
    view = make_view(cnn((3, 24, 20)), make_inputs((3, 24, 20), 1))
    with pytest.raises(UsageError) as caught:
        run("extremal_perturbation", view, areas=areas)
    assert caught.value.hint or "must be above 0" in str(caught.value)
