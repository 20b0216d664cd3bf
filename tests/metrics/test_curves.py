"""Removal orders and curves against closed forms on linear models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SHAPES, TABLE, linear, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.metrics.engines.removal import area, removal_curve, removal_order, schedule
from xaibench.metrics.maps.orders import descending


def run(name: str, ev, **params) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def curve_of(name: str):
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    assert spec.curve is not None
    return spec.curve


def slopes(module: torch.nn.Module, targets: Tensor, shape: tuple[int, ...]) -> Tensor:
    return module[1].weight.detach()[targets].view(-1, *shape)  # type: ignore[index]


@pytest.mark.parametrize("masker", ["zero", "mean", "uniform", "marginal", "blur"])
@pytest.mark.parametrize("kind", SHAPES)
def test_curve_of_a_linear_model_is_the_cumulated_contribution(kind: str, masker: str) -> None:
    if masker == "blur" and kind == "table":
        pytest.skip("tables have no blur")
    shape = SHAPES[kind]
    module, inputs = linear(shape), make_inputs(shape, 5)
    view = make_view(module, inputs, background=make_inputs(shape, 9, seed=1))
    w = slopes(module, view.targets, shape)
    contribution = view.layout.reduce(w * (inputs - view.removed(masker)))
    ev = make_evaluation(view, contribution, kind="contribution")
    clean = view.scores(inputs)
    for order in ("morf", "lerf"):
        ranked = contribution.flatten(1).sort(dim=1, descending=order == "morf").values
        gone = torch.cat([torch.zeros(5, 1), ranked.cumsum(dim=1)], dim=1)[:, schedule(view.layout.n_features, 4)]
        expected = clean.unsqueeze(1) - gone
        np.testing.assert_allclose(removal_curve(ev, order, masker, 4), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["distinct", "tied", "constant", "signed zeros", "infinite", "not a number", "double"])
def test_orders_are_those_of_a_stable_sort_with_ties_in_drawn_order(kind: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 40))
    if kind == "tied":
        values = values.round()
    elif kind in ("constant", "signed zeros"):
        values = values * 0.0 if kind == "signed zeros" else np.ones((9, 40))
    elif kind in ("infinite", "not a number"):
        values[:, 7] = np.inf if kind == "infinite" else np.nan
        values[:, 11] = -np.inf
    flat = torch.from_numpy(values if kind == "double" else values.astype(np.float32))
    ev = make_evaluation(make_view(mlp((40,)), torch.randn(9, 40), features="table"), flat.float())
    places = ev.draws("ties").permutation((40,))
    shuffled = flat.gather(1, places)
    drawn = places.gather(1, shuffled.argsort(dim=1, descending=True, stable=True))
    assert torch.equal(descending(ev, flat), drawn)


def test_schedule_starts_with_nothing_and_ends_with_everything() -> None:
    assert schedule(784, 28).tolist() == list(range(0, 785, 28))
    assert schedule(6, 4).tolist() == [0, 2, 3, 5, 6]
    assert schedule(3, 6).tolist() == [0, 1, 1, 2, 2, 3, 3]
    assert schedule(1, 1).tolist() == [0, 1]


def test_repeated_points_cost_no_evaluation_and_no_area() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 4))
    ev = make_evaluation(view)
    before = view.model.n_evaluations
    curve = removal_curve(ev, "morf", "zero", 32)
    assert curve.shape == (4, 33)
    assert view.model.n_evaluations - before == 4 * (6 + 1)
    exact = removal_curve(ev, "morf", "zero", 6)
    np.testing.assert_allclose(area(curve, 6), area(exact, 6), rtol=1e-6)
    np.testing.assert_allclose(area(exact, 6), np.trapezoid(exact.numpy(), dx=1 / 6, axis=1), rtol=1e-6)


def test_curves_start_at_the_sample_and_end_at_the_masked_one() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 4))
    ev = make_evaluation(view)
    removed = curve_of("pixel_flipping")(ev, steps=8, masker="zero")
    inserted = curve_of("insertion")(ev, steps=8, masker="zero")
    first, last = view.scores(view.inputs), view.scores(torch.zeros_like(view.inputs))
    for curve, start, end in ((removed, first, last), (inserted, last, first)):
        np.testing.assert_allclose(curve[:, 0], start, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(curve[:, -1], end, rtol=1e-5, atol=1e-6)


def test_slopes_are_ordered_by_what_removal_changes_to_first_order() -> None:
    module, inputs = linear(TABLE), make_inputs(TABLE, 6)
    view = make_view(module, inputs)
    w = slopes(module, view.targets, TABLE)
    exact = make_evaluation(view, w * (inputs - view.baseline("mean")), kind="contribution")
    assert torch.equal(run("deletion", make_evaluation(view, w)), run("deletion", exact))
    assert not torch.equal(run("deletion", make_evaluation(view, w, kind="contribution")), run("deletion", exact))


def test_slopes_over_channels_are_ordered_as_they_are() -> None:
    view = make_view(linear(RGB), make_inputs(RGB, 6))
    slope = make_evaluation(view)
    same = make_evaluation(view, slope.attributions, kind="contribution")
    assert torch.equal(run("deletion", slope), run("deletion", same))


def test_insertion_puts_the_most_relevant_features_in_first() -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 4))
    ev = make_evaluation(view, kind="contribution")
    expected = []
    for k in range(7):
        top = ev.attributions.argsort(dim=1, descending=True)[:, :k]
        keep = torch.zeros(4, 6).scatter(1, top, 1)
        expected.append(view.scores(view.inputs * keep))
    np.testing.assert_allclose(
        curve_of("insertion")(ev, steps=6, masker="zero"), torch.stack(expected, 1), rtol=1e-5, atol=1e-6
    )
    by_hand = np.trapezoid(_insertion_probability(ev), dx=1 / 6, axis=1)
    np.testing.assert_allclose(run("insertion", ev, steps=6, masker="zero"), by_hand, rtol=1e-5)


def _insertion_probability(ev) -> np.ndarray:
    rows = []
    for k in range(7):
        keep = torch.zeros(len(ev), 6).scatter(1, ev.attributions.argsort(dim=1, descending=True)[:, :k], 1)
        rows.append(ev.scores(ev.inputs * keep, output="probability"))
    return torch.stack(rows, dim=1).numpy()


def test_deletion_is_pixel_flipping_and_uses_probabilities() -> None:
    ev = make_evaluation(make_view(mlp(IMAGE), make_inputs(IMAGE, 4)))
    assert torch.equal(run("deletion", ev), run("pixel_flipping", ev))
    logits = replace(ev, output="logit")
    assert torch.equal(run("deletion", logits), run("deletion", replace(ev, output="probability")))


def test_ties_are_broken_by_a_draw_of_the_sample() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 6))
    flat = torch.zeros(6, 8, 8)
    flat[:, 0, 0] = 1
    flat[5] = torch.arange(64.0).view(8, 8)
    ev = make_evaluation(view, flat)
    order = removal_order(ev)
    assert order.sort(dim=1).values.tolist() == [list(range(64))] * 6
    assert order[:5, 0].tolist() == [0] * 5
    assert order[5].tolist() == list(range(63, -1, -1))
    assert len({tuple(row.tolist()) for row in order}) == 6
    assert torch.equal(removal_order(ev, "lerf"), order.flip(1))
    again = descending(make_evaluation(view.take(torch.tensor([3])), flat[[3]]), flat[[3]])
    assert torch.equal(again[0], order[3])


def test_the_best_order_beats_a_random_one() -> None:
    for shape in (IMAGE, RGB, TABLE):
        module, inputs = linear(shape), make_inputs(shape, 30)
        view = make_view(module, inputs)
        w = slopes(module, view.targets, shape)
        truth = make_evaluation(view, view.layout.reduce(w * (inputs - view.baseline("mean"))), kind="contribution")
        noise = make_evaluation(view, view.draws("noise").normal(view.layout.feature_shape), kind="contribution")
        assert run("pixel_flipping", truth).mean() < run("pixel_flipping", noise).mean() - 0.02
        assert run("insertion", truth).mean() > run("insertion", noise).mean() + 0.02


@pytest.mark.parametrize("masker", ["zero", "mean", "marginal"])
def test_weights_are_the_best_order_of_a_linear_model_under_every_masker(masker: str) -> None:
    """Slopes are converted with the metric's own masker, so that the exact explanation wins."""
    view = make_view(linear(TABLE), make_inputs(TABLE, 16), background=make_inputs(TABLE, 40, seed=1) + 1)
    weights = make_evaluation(view, kind="slope")
    assert torch.equal(weights.attributions, view.gradients(view.inputs))
    kwargs = {"masker": masker, "steps": 6}
    spec = get("metric", "pixel_flipping")
    best = score(spec, spec.bind(kwargs), weights, output="logit")
    assert best.conversion == f"slope x (input - {masker})"
    for seed in range(20):
        other = weights.with_attributions(make_inputs(TABLE, 16, seed=seed), "contribution")
        assert (best.values <= score(spec, spec.bind(kwargs), other, output="logit").values + 1e-5).all()


def test_slopes_of_several_channels_are_ordered_as_they_are() -> None:
    ev = make_evaluation(make_view(linear(RGB), make_inputs(RGB, 4)), kind="slope")
    spec = get("metric", "pixel_flipping")
    found = score(spec, spec.bind({}), ev)
    assert found.conversion == "none"
    assert torch.equal(found.values, run("pixel_flipping", ev.with_attributions(ev.attributions, "contribution")))
