"""Robust fidelity against its identities, an enumeration of all removals, and the published mistake."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, TABLE, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.truth import Truth

N, F, TOP = 5, TABLE[0], 3


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def evaluation(*, with_truth: bool = True) -> Evaluation:
    """A network on tables of six columns, of which the truth has three; maps without ties."""
    view = make_view(mlp(TABLE), 2 * make_inputs(TABLE, N))
    mask = torch.zeros(N, F, dtype=torch.bool)
    mask[:, [0, 2, 5]] = True
    return make_evaluation(
        view, make_inputs(TABLE, N, seed=3), kind="contribution", truth=Truth("model", mask) if with_truth else None
    )


def top_of(ev: Evaluation, k: int = TOP) -> Tensor:
    return torch.zeros(N, F, dtype=torch.bool).scatter(1, ev.attributions.topk(k, dim=1).indices, True)


def drop(ev: Evaluation, keep: Tensor) -> Tensor:
    """What the probability loses when only some features are left."""
    return ev.scores(ev.inputs, output="probability") - ev.scores(ev.inputs * keep, output="probability")


def test_whole_removal_is_plain_fidelity_and_none_is_nothing() -> None:
    ev = evaluation()
    top = top_of(ev)
    np.testing.assert_allclose(run("robust_fid_plus", ev, alpha1=1.0), drop(ev, ~top), atol=1e-6)
    np.testing.assert_allclose(run("robust_fid_minus", ev, alpha2=0.0), drop(ev, top), atol=1e-6)
    np.testing.assert_array_equal(run("robust_fid_plus", ev, alpha1=0.0), np.zeros(N))
    np.testing.assert_array_equal(run("robust_fid_minus", ev, alpha2=1.0), np.zeros(N))


def test_what_is_outside_goes_and_never_the_explanation() -> None:
    """The mistake of two published implementations: the complement of the complement, so that E* itself is removed."""
    ev = evaluation()
    top = top_of(ev)
    mistaken = drop(ev, ~top)
    assert not np.allclose(drop(ev, top), mistaken, atol=1e-3)
    found = run("robust_fid_minus", ev, alpha2=1e-9)
    np.testing.assert_allclose(found, drop(ev, top), atol=1e-6)
    assert float(run("robust_fid_minus", ev, alpha2=1 - 1e-9).abs().max()) < 1e-6


@pytest.mark.parametrize(("name", "alpha"), [("robust_fid_plus", 0.3), ("robust_fid_minus", 0.6)])
def test_the_mean_over_draws_is_the_expectation_over_all_removals(name: str, alpha: float) -> None:
    ev, n_samples = evaluation(), 2000
    top = top_of(ev)
    removable = top if name.endswith("plus") else ~top
    p_removed = alpha if name.endswith("plus") else 1 - alpha
    mean, square = torch.zeros(N, dtype=torch.float64), torch.zeros(N, dtype=torch.float64)
    for pattern in product([False, True], repeat=F):
        gone = torch.tensor(pattern) & removable
        # Patterns that touch other features are the same removal: count each of them with its own probability.
        p = torch.tensor([p_removed if g else 1 - p_removed for g in pattern]).double().prod()
        value = drop(ev, ~gone).double()
        mean, square = mean + p * value, square + p * value**2
    error = ((square - mean**2).clamp(min=0) / n_samples).sqrt()
    found = run(name, ev, **{"alpha1" if name.endswith("plus") else "alpha2": alpha}, n_samples=n_samples)
    assert bool(((found - mean).abs() <= 4 * error + 1e-6).all())
    assert bool((error > 1e-4).any())


def test_delta_is_the_difference_with_the_same_draws() -> None:
    ev = evaluation()
    difference = run("robust_fid_plus", ev, alpha1=0.4) - run("robust_fid_minus", ev, alpha2=0.7)
    np.testing.assert_allclose(run("robust_fid_delta", ev, alpha1=0.4, alpha2=0.7), difference, atol=1e-6)


def test_the_explanation_stands_for_as_many_features_as_the_truth_or_a_share() -> None:
    ev = evaluation(with_truth=False)
    np.testing.assert_allclose(run("robust_fid_plus", ev, alpha1=1.0), drop(ev, ~top_of(ev, 1)), atol=1e-6)
    for share, k in ((0.5, 3), (0.01, 1), (1.0, 6)):
        found = run("robust_fid_plus", evaluation(), alpha1=1.0, share=share)
        np.testing.assert_allclose(found, drop(ev, ~top_of(ev, k)), atol=1e-6)


def test_plain_fidelities_are_the_metrics_of_these_names() -> None:
    ev = evaluation()
    for share in (None, 0.5):
        plus, minus = (
            run("robust_fid_plus", ev, alpha1=1.0, share=share),
            run("robust_fid_minus", ev, alpha2=0.0, share=share),
        )
        delta = run("robust_fid_delta", ev, alpha1=1.0, alpha2=0.0, share=share)
        for name, found in (("fid_plus", plus), ("fid_minus", minus), ("fid_delta", delta)):
            np.testing.assert_allclose(found, run(name, ev, share=share), atol=1e-6)


def test_pictures_lose_pixels_with_all_their_channels() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 3))
    ev = make_evaluation(view, kind="contribution")
    k = round(0.25 * 64)
    top = torch.zeros(3, 64).scatter(1, ev.attributions.flatten(1).topk(k, dim=1).indices, 1).view(3, *IMAGE)
    clean, without = (view.scores(x, output="probability") for x in (view.inputs, view.inputs * (1 - top)))
    np.testing.assert_allclose(run("robust_fid_plus", ev, alpha1=1.0, share=0.25), clean - without, atol=1e-6)
