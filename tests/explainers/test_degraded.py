"""The truth with noise in steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import linear, make_inputs, make_view
from helpers.explainer_cases import run, spec_of, view_of
from scipy.stats import spearmanr

from xaibench.core.errors import UsageError
from xaibench.core.explaining import attribution_kind
from xaibench.core.truth import Truth


def weights_view(n: int = 7):
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((n, 6)).astype(np.float32))
    return make_view(linear((6,)), make_inputs((6,), n), truth=Truth("model", weights=5 * weights))


@pytest.mark.parametrize("view", [view_of("rgb"), weights_view()], ids=["mask", "weights"])
def test_without_noise_it_is_the_oracle_at_unit_power(view):
    found, truth = run("degraded_oracle", view, noise=0.0), run("oracle", view)
    size = truth.flatten(1).square().mean(dim=1).sqrt()
    torch.testing.assert_close(found.flatten(1), truth.flatten(1) / size[:, None])
    assert attribution_kind(spec_of("degraded_oracle"), view, {}) == attribution_kind(spec_of("oracle"), view, {})


def test_the_truth_drowns_in_steps():
    view = view_of("rgb", n=40)
    truth = run("oracle", view).flatten()
    rho = [spearmanr(run("degraded_oracle", view, noise=s).flatten(), truth).statistic for s in (0, 0.5, 1, 2, 4, 50)]
    assert rho == sorted(rho, reverse=True)
    assert rho[0] > 0.95
    assert abs(rho[-1]) < 0.05


def test_levels_add_the_same_draws():
    view = weights_view()
    clean, one, four = (run("degraded_oracle", view, noise=s) for s in (0.0, 1.0, 4.0))
    torch.testing.assert_close(four - clean, 4 * (one - clean), rtol=1e-4, atol=1e-5)


def test_a_mask_stays_unsigned_and_weights_keep_signs():
    assert (run("degraded_oracle", view_of("rgb"), noise=2.0) >= 0).all()
    assert (run("degraded_oracle", weights_view(), noise=2.0) < 0).any()


def test_an_empty_truth_is_noise():
    view = view_of("table", truth=Truth("model", mask=torch.zeros(7, 6, dtype=torch.bool)))
    found = run("degraded_oracle", view)
    assert torch.isfinite(found).all()
    assert found.std() > 0


def test_it_is_no_control_and_no_placebo():
    spec = spec_of("degraded_oracle")
    assert not spec.control
    assert not spec.placebo
    assert "truth" in spec.needs
    with pytest.raises(UsageError):
        spec.bind({"noise": -1.0})
