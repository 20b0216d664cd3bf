"""Monotonicity: 1 for the contributions of a linear model, a half for random orders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, SHAPES, TABLE, linear, make_evaluation, make_inputs, make_view, mlp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score


def run(ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", "monotonicity")
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def contributions(shape: tuple[int, ...], masker: str = "mean", n: int = 6) -> Evaluation:
    module = linear(shape)
    view = make_view(module, make_inputs(shape, n), background=make_inputs(shape, 11, seed=1) + 1)
    w = module[1].weight.detach()[view.targets].view(-1, *shape)  # type: ignore[index]
    return make_evaluation(view, view.layout.reduce(w * (view.inputs - view.removed(masker))), kind="contribution")


@pytest.mark.parametrize("masker", ["zero", "mean", "marginal"])
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("steps", [4, 5, 32])
def test_contributions_of_a_linear_model_add_more_and_more(kind: str, masker: str, steps: int) -> None:
    """With parts of unequal size, and with fewer features than parts, too."""
    ev = contributions(SHAPES[kind], masker)
    assert run(ev, masker=masker, steps=steps, tolerance=1e-5).tolist() == [1] * 6
    falling = ev.with_attributions(-ev.attributions, "contribution")
    assert run(falling, masker=masker, steps=steps, tolerance=0).tolist() == [0] * 6


def test_a_random_order_gets_a_half() -> None:
    ev = contributions(IMAGE, n=150)
    noise = ev.with_attributions(ev.draws("noise").normal((8, 8)), "contribution")
    assert run(noise).mean().item() == pytest.approx(0.5, abs=0.03)


def test_the_published_check_cannot_tell_the_truth_from_noise() -> None:
    """The output rises with every positive contribution, whenever it comes."""
    ev = contributions(IMAGE, n=20)
    positive = (ev.attributions > 0).flatten(1).double().mean(dim=1)
    maps = [ev.attributions, -ev.attributions, ev.draws("noise").normal((8, 8))]
    for each in maps:
        share = run(ev.with_attributions(each, "contribution"), compare="output", steps=64, tolerance=1e-6)
        np.testing.assert_allclose(share, positive, atol=1e-6)
    truth, _, noise = (run(ev.with_attributions(m, "contribution"), steps=64) for m in maps)
    assert (truth - noise).min() > 0.2


@settings(max_examples=15)
@given(steps=st.integers(1, 12), seed=st.integers(0, 99), compare=st.sampled_from(["gain", "output"]))
def test_it_is_the_literal_loop(steps: int, seed: int, compare: str) -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 4, seed=seed))
    ev = make_evaluation(view, make_inputs(TABLE, 4, seed=seed + 100), kind="contribution")
    counts = sorted({(2 * s * 6 + steps) // (2 * steps) for s in range(steps + 1)})
    expected = []
    for row in range(4):
        rising = np.argsort(ev.attributions[row].numpy())
        heights = []
        for missing in reversed(counts):
            keep = torch.zeros(1, 6)
            keep[0, rising[: 6 - missing]] = 1
            heights.append(view.scores(view.inputs[[row]] * keep, slice(row, row + 1)).item())
        slack = 1e-3 * (max(heights) - min(heights))
        sizes = -np.diff(counts[::-1])
        gains = np.diff(heights)
        per_step = gains / sizes * sizes.mean()
        held = gains >= -slack if compare == "output" else np.diff(per_step) >= -slack
        expected.append(held.mean() if len(held) else np.nan)
    np.testing.assert_allclose(run(ev, steps=steps, compare=compare, masker="zero"), expected, atol=1e-6)


def test_equal_gains_are_no_fall() -> None:
    """A model of the sum of equal inputs gains the same in every step; rounding must not decide."""
    view = make_view(linear(IMAGE), torch.full((3, *IMAGE), 0.3))
    with torch.no_grad():
        view.model.module[1].weight.fill_(0.1)  # type: ignore[index, union-attr]
        view.model.module[1].bias.fill_(7.0)  # type: ignore[index, union-attr]
    ev = make_evaluation(view, make_inputs((8, 8), 3), kind="contribution")
    assert run(ev, masker="zero", steps=20).tolist() == [1] * 3


def test_undefined_where_there_is_nothing_to_compare() -> None:
    flat = linear(TABLE)
    torch.nn.init.zeros_(flat[1].weight)  # type: ignore[index]
    maps = make_inputs(TABLE, 3)
    assert bool(torch.isnan(run(make_evaluation(make_view(flat, maps), maps, kind="contribution"))).all())
    ev = make_evaluation(make_view(mlp(TABLE), maps), maps, kind="contribution")
    assert bool(torch.isnan(run(ev, steps=1)).all())
    assert bool(torch.isfinite(run(ev, steps=1, compare="output")).all())


def test_its_points_are_those_of_pixel_flipping() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 4))
    ev = make_evaluation(view)
    spec = get("metric", "pixel_flipping")
    assert isinstance(spec, MetricSpec)
    score(spec, spec.bind({}), ev)
    before = view.model.n_evaluations
    run(ev)
    assert view.model.n_evaluations == before
