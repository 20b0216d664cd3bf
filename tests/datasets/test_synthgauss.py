"""The generator of clusters follows its description, and the analytic model is its rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xaibench.datasets.synthgauss import synthgauss
from xaibench.models.analytic import Clusterwise, clusterwise


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_follow_the_rule_and_are_balanced(seed: int) -> None:
    data = synthgauss(seed=seed)
    labels = np.concatenate([data.train_targets, data.test_targets])
    assert labels.mean() == pytest.approx(0.5, abs=0.001)
    assert len(data.test_inputs) == 1000
    module = clusterwise(data)
    found = module(torch.from_numpy(data.test_inputs)).argmax(dim=1).numpy()
    # A row beyond half way to another centre, 3.5 standard deviations off, follows its own cluster's rule.
    assert (found == data.test_targets).mean() > 0.995


def test_clusters_have_their_centres_and_unit_variance() -> None:
    data = synthgauss(seed=4, features=6, clusters=8, per_cluster=2000)
    centres = data.facts["centres"]
    expected = np.zeros((8, 6))
    expected[np.arange(6), np.arange(6)] = 5
    expected[6, 0] = expected[7, 1] = 10
    np.testing.assert_array_equal(centres, expected)
    nearest = ((data.train_inputs[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    for k in range(8):
        rows = data.train_inputs[nearest == k]
        assert len(rows) == pytest.approx(1500, abs=120)
        np.testing.assert_allclose(rows.mean(axis=0), centres[k], atol=0.12)
        np.testing.assert_allclose(rows.std(axis=0), 1, atol=0.08)


def test_weights_are_one_vector_under_masks() -> None:
    weights = synthgauss(seed=0, features=200, clusters=30, per_cluster=4).facts["weights"]
    assert abs(weights).max() <= 1
    assert (weights != 0).mean() == pytest.approx(0.5, abs=0.03)
    shared = np.where(weights != 0, weights, np.nan)
    assert np.nanmax(np.nanmax(shared, axis=0) - np.nanmin(shared, axis=0)) == 0


def test_slopes_are_the_gradient_and_half_of_the_masked_weights() -> None:
    data = synthgauss(seed=5, clusters=4, per_cluster=40)
    module = clusterwise(data)
    assert isinstance(module, Clusterwise)
    inputs = torch.from_numpy(data.test_inputs).requires_grad_(True)
    targets = torch.from_numpy(data.test_targets)
    module(inputs).gather(1, targets.unsqueeze(1)).sum().backward()
    slopes = module.slopes(inputs, targets)
    np.testing.assert_array_equal(inputs.grad, slopes.detach())
    cluster = module.nearest(inputs).numpy()
    signs = 2 * data.test_targets[:, None] - 1
    np.testing.assert_allclose(slopes, signs * data.facts["weights"][cluster] / 2, rtol=1e-6)


def test_every_mask_has_a_feature() -> None:
    weights = synthgauss(seed=0, features=4, clusters=200, per_cluster=4).facts["weights"]
    assert (weights != 0).any(axis=1).all()
