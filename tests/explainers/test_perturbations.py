"""Explainers that remove features, against closed forms, enumeration, Captum and scikit-learn."""

from __future__ import annotations

import math
from itertools import permutations

import captum.attr
import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SERIES, TABLE, linear, make_inputs, make_view, mlp
from helpers.explainer_cases import black_box, plain_cnn, run, view_of
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from xaibench.core.errors import UsageError
from xaibench.core.features import FeatureLayout, infer_layout
from xaibench.core.problem import ProblemView
from xaibench.explainers.engines.coalitions import coalition_scores, default_patch, make_players
from xaibench.explainers.rise import _masks
from xaibench.explainers.surrogates import _enumerate_sizes

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
ADDITIVE = ("kernel_shap", "shapley_sampling")
NETS = {"rgb": (plain_cnn(3), RGB), "table": (mlp(TABLE), TABLE)}


def exact_shapley(view: ProblemView, masker: str) -> torch.Tensor:
    """Shapley values of columns (N, d), as the mean over every order of arrival."""
    d = view.inputs.shape[1]
    fill = view.baseline(masker)
    orders = list(permutations(range(d)))
    total = torch.zeros(view.inputs.shape, dtype=torch.float64)
    for order in orders:
        current, before = fill.clone(), view.scores(fill)
        for player in order:
            current[:, player] = view.inputs[:, player]
            after = view.scores(current)
            total[:, player] += (after - before).double()
            before = after
    return (total / len(orders)).float()


@pytest.mark.parametrize("name", ADDITIVE)
@pytest.mark.parametrize("masker", ["zero", "mean"])
def test_shapley_values_of_a_black_box_are_exact(name, masker):
    view = make_view(black_box, make_inputs((5,), 4), background=make_inputs((5,), 30, seed=3))
    torch.testing.assert_close(run(name, view, masker=masker), exact_shapley(view, masker), **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ADDITIVE)
def test_eight_players_at_default_parameters_are_exact(name):
    """Both take another way to the same values: a regression, and a weighted sum over all coalitions."""
    view = make_view(black_box, make_inputs((8,), 3))
    params = {"n_samples": 40} if name == "shapley_sampling" else {}
    theirs = captum.attr.ShapleyValueSampling(lambda x: torch.from_numpy(black_box(x.numpy())).float())
    torch.manual_seed(0)
    rough = theirs.attribute(view.inputs, target=view.targets, n_samples=400)
    exact = run(name, view, **params)
    assert (exact - rough).abs().max() < 0.05
    torch.testing.assert_close(exact, run("kernel_shap", view, n_samples=2**8), **CLOSE)


def test_captum_agrees_on_shapley_values():
    view = make_view(mlp((4,)), make_inputs((4,)), background=None)
    theirs = captum.attr.ShapleyValues(view.model.module).attribute(view.inputs, target=view.targets)
    for name, params in (("kernel_shap", {}), ("shapley_sampling", {})):
        torch.testing.assert_close(run(name, view, **params), theirs, **CLOSE)


@pytest.mark.parametrize("name", ADDITIVE)
@pytest.mark.parametrize("data", ["image", "rgb", "table", "series"])
@pytest.mark.parametrize("output", ["logit", "probability"])
def test_shapley_values_add_up_to_the_output_difference(name, data, output):
    view = view_of(data, 4, output=output)
    for params in ({}, {"n_samples": 3}, {"masker": "mean"}):
        gap = view.scores(view.inputs) - view.scores(view.baseline(params.get("masker", "zero")))
        total = run(name, view, **params).flatten(1).sum(dim=1)
        torch.testing.assert_close(total, gap, rtol=1e-4, atol=1e-5)


def test_sampled_shapley_values_come_close_to_the_exact_ones():
    """Ten players, so that neither enumerates at these budgets."""
    view = make_view(black_box, make_inputs((10,), 6))
    exact = run("kernel_shap", view, n_samples=2**10)
    errors = {}
    for name, small, large in (("kernel_shap", 40, 900), ("shapley_sampling", 4, 100)):
        errors[name] = [(run(name, view, n_samples=n) - exact).square().mean().sqrt().item() for n in (small, large)]
        assert errors[name][1] < 0.5 * errors[name][0]
        assert errors[name][1] < 0.02


@pytest.mark.parametrize("name", ["kernel_shap", "shapley_sampling", "feature_ablation", "occlusion"])
@pytest.mark.parametrize("shape", [TABLE, SERIES, IMAGE, RGB])
@pytest.mark.parametrize("masker", ["zero", "mean"])
def test_closed_form_on_a_linear_model(name, shape, masker):
    view = make_view(linear(shape), make_inputs(shape), background=make_inputs(shape, 30, seed=2))
    w = view.model.module[1].weight[view.targets].detach().view_as(view.inputs)
    expected = view.layout.reduce(w * (view.inputs - view.baseline(masker)))
    found = run(name, view, masker=masker, patch=1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [TABLE, SERIES])
def test_lime_on_a_linear_model(shape):
    view = make_view(linear(shape), make_inputs(shape))
    w = view.model.module[1].weight[view.targets].detach().view_as(view.inputs)
    found = run("lime", view, patch=1, ridge=1e-9)
    torch.testing.assert_close(found, w * view.inputs, rtol=1e-3, atol=1e-4)


def test_patches_share_the_effect_of_a_linear_model():
    view = make_view(linear(RGB), make_inputs(RGB))
    w = view.model.module[1].weight[view.targets].detach().view_as(view.inputs)
    blocks = view.layout.reduce(w * view.inputs).unfold(1, 4, 4).unfold(2, 4, 4).mean(dim=(3, 4))
    expected = blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)
    for name in ("feature_ablation", "kernel_shap", "shapley_sampling"):
        torch.testing.assert_close(run(name, view, patch=4), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(run("lime", view, patch=4, ridge=1e-9), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(run("occlusion", view, patch=4, stride=4), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_samples", [64, 40])
def test_lime_is_scikit_learns_ridge_on_the_same_coalitions(n_samples):
    view = make_view(black_box, make_inputs(TABLE))
    z = torch.arange(64).unsqueeze(1) >> torch.arange(6) & 1 == 1
    drawn = view.draws("explain").uniform((n_samples, 6)) < 0.5
    drawn[:, 0] = True
    found = run("lime", view, n_samples=n_samples, ridge=0.3, width=0.4)
    for i, row in enumerate(view.inputs):
        own = z if n_samples == 64 else drawn[i]
        values = view.scores(torch.where(own, row, 0.0), torch.full((n_samples,), i))
        weight = torch.exp(-(((1 - own.double().mean(1).sqrt()) / 0.4) ** 2)).numpy()
        fit = Ridge(alpha=0.3).fit(own.numpy().astype(float), values.double().numpy(), sample_weight=weight)
        np.testing.assert_allclose(found[i].numpy(), fit.coef_, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("data", NETS)
def test_captum_agrees_on_feature_ablation_and_occlusion(data):
    """Captum gives every feature its patch's whole effect; ours is its equal share."""
    model, shape = NETS[data]
    view = make_view(model, make_inputs(shape))
    image = len(shape) == 3
    players = make_players(view, 3)
    mask = view.layout.expand(players.index)
    theirs = captum.attr.FeatureAblation(model).attribute(view.inputs, target=view.targets, feature_mask=mask)
    theirs = theirs[:, 0] if image else theirs
    sizes = torch.bincount(players.index.flatten())[players.index]
    torch.testing.assert_close(run("feature_ablation", view, patch=3), theirs / sizes, **CLOSE)
    window, strides = ((3, 4, 4), (3, 2, 2)) if image else ((1,), (1,))
    theirs = captum.attr.Occlusion(model).attribute(
        view.inputs, sliding_window_shapes=window, strides=strides, target=view.targets
    )
    theirs = theirs[:, 0] / 16 if image else theirs
    torch.testing.assert_close(run("occlusion", view, patch=4), theirs, **CLOSE)


def test_captum_agrees_on_gradient_shap_when_both_have_converged():
    view = make_view(mlp(TABLE), make_inputs(TABLE), background=make_inputs(TABLE, 30, seed=2))
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    method = captum.attr.GradientShap(view.model.module)
    theirs = method.attribute(view.inputs, view.background, n_samples=4000, target=view.targets)
    assert (run("gradient_shap", view, n_samples=4000) - theirs).abs().max() < 0.02


def test_occlusion_of_ragged_edges_covers_every_pixel():
    view = make_view(linear((1, 7, 5)), make_inputs((1, 7, 5)))
    for patch, stride in ((3, 2), (2, 2), (4, 3), (9, 4)):
        found = run("occlusion", view, patch=patch, stride=stride)
        assert torch.isfinite(found).all()
        assert (found != 0).all()


def test_occlusion_refuses_a_stride_that_leaves_pixels_out():
    with pytest.raises(UsageError, match="stride"):
        run("occlusion", view_of("image"), patch=2, stride=3)


@pytest.mark.parametrize("name", ["feature_ablation", "occlusion"])
def test_removing_what_is_missing_already_costs_nothing(name):
    view = view_of("image")
    inputs = view.inputs.clone()
    inputs[:, :, :, 4:] = 0
    view = view.take(slice(None), inputs)
    counted = view.model.n_evaluations
    found = run(name, view, patch=1)
    assert torch.equal(found[:, :, 4:], torch.zeros_like(found[:, :, 4:]))
    assert view.model.n_evaluations - counted == 7 + 7 * 32


def test_shapley_sampling_gives_nothing_to_players_that_are_missing_already():
    view = view_of("image")
    inputs = view.inputs.clone()
    inputs[:, :, :, 3:] = 0
    view = view.take(slice(None), inputs)
    counted = view.model.n_evaluations
    found = run("shapley_sampling", view, n_samples=4)
    assert torch.equal(found[:, :, 3:], torch.zeros_like(found[:, :, 3:]))
    assert view.model.n_evaluations - counted <= 7 * (2 + 4 * 24)
    gap = view.scores(inputs) - view.scores(torch.zeros_like(inputs))
    torch.testing.assert_close(found.flatten(1).sum(dim=1), gap, **CLOSE)


@pytest.mark.parametrize(
    ("shape", "features", "patch", "count"),
    [((1, 28, 28), None, None, 49), ((1, 8, 8), None, None, 64), ((3, 32, 32), None, None, 64),
     ((3, 64, 48), None, None, 48), ((100,), None, None, 100), ((50, 3), "series", None, 51),
     ((1, 28, 28), None, 5, 36), ((100, 70), "series", None, 70), ((30,), "series", 7, 5)],
)  # fmt: skip
def test_players(shape, features, patch, count):
    view = make_view(linear(shape), make_inputs(shape, 2), features=features)
    players = make_players(view, patch)
    assert players.count == count
    assert set(players.index.flatten().tolist()) == set(range(count))
    values = torch.randn(2, count)
    torch.testing.assert_close(players.share(values).flatten(1).sum(dim=1), values.sum(dim=1))


def test_players_of_a_series_keep_sensors_apart():
    view = make_view(linear((6, 2)), make_inputs((6, 2), 2), features="series")
    assert make_players(view, 3).index.tolist() == [[0, 1]] * 3 + [[2, 3]] * 3


@given(side=st.integers(1, 40), limit=st.integers(1, 100))
def test_default_patch_is_the_smallest_that_fits(side, limit):
    layout = infer_layout((1, side, side))
    patch = default_patch(layout, limit)
    assert math.ceil(side / patch) ** 2 <= limit
    assert patch == 1 or math.ceil(side / (patch - 1)) ** 2 > limit


@given(d=st.integers(2, 12), budget=st.integers(30, 5000))
def test_kernel_weights_of_enumerated_and_sampled_sizes_add_up(d, budget):
    fixed, weights, left = _enumerate_sizes(d, max(budget, 4 * d))
    assert len(fixed) <= max(budget, 4 * d)
    assert len({tuple(row) for row in fixed.tolist()}) == len(fixed)
    assert weights.sum().item() + sum(left.values()) == pytest.approx(1, abs=1e-5)
    sizes = fixed.sum(dim=1)
    assert not set(sizes.tolist()) & set(left)
    kernel = torch.tensor([1 / (math.comb(d, s) * s * (d - s)) for s in range(1, d)])
    ratio = weights / kernel[sizes - 1]
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-4, atol=0)
    if 2**d - 2 <= budget:
        assert not left
        assert len(fixed) == 2**d - 2


def test_masked_scores_in_many_chunks(monkeypatch):
    view = view_of("table", 5)
    rows = torch.arange(5).repeat_interleave(9)
    keep = torch.rand(45, 6) < 0.5
    whole = coalition_scores(view, "mean", rows, lambda part: keep[part])
    monkeypatch.setattr("xaibench.explainers.engines.perturbed_copies.COPIES_BLOCK_BYTES", 4 * 6 * 4)
    torch.testing.assert_close(coalition_scores(view, "mean", rows, lambda part: keep[part]), whole)


def test_rise_of_a_linear_model_on_a_table():
    """With independent keeps the conditional mean is p-free: (1 - p) w (x - b) up to the level."""
    view = make_view(linear(TABLE), make_inputs(TABLE))
    w = view.model.module[1].weight[view.targets].detach()
    effect = w * view.inputs
    for p in (0.5, 0.3):
        expected = (1 - p) * (effect - effect.amin(dim=1, keepdim=True))
        assert (run("rise", view, n_samples=20000, p=p) - expected).abs().max() < 0.03


def test_rise_does_not_depend_on_the_level_of_the_output():
    view = view_of("image")
    shifted = plain_shift(view, 50.0)
    torch.testing.assert_close(run("rise", shifted), run("rise", view), rtol=1e-3, atol=1e-4)


def plain_shift(view: ProblemView, by: float) -> ProblemView:
    module = view.model.module
    last = module[-1]
    other = torch.nn.Linear(last.in_features, last.out_features)
    with torch.no_grad():
        other.weight.copy_(last.weight)
        other.bias.copy_(last.bias + by)
    return view.take(slice(None), None, view.model.with_module(torch.nn.Sequential(*module[:-1], other)))


def test_rise_finds_the_pixels_that_count():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 2)).eval()
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].weight[0].view(16, 16)[2:6, 9:13] = 1
    view = make_view(net, torch.ones(3, 1, 16, 16), targets=torch.zeros(3, dtype=torch.int64))
    found = run("rise", view)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[2:6, 9:13] = True
    top = found.flatten(1).topk(16).indices
    assert inside.flatten()[top].float().mean() > 0.85


@pytest.mark.parametrize(
    ("kind", "shape"), [("image", (28, 28)), ("image", (9, 30)), ("series", (40, 2)), ("series", (5,))]
)
def test_rise_masks_are_smooth_and_even(kind, shape):
    view = view_of("table", 4)
    masks = _masks(FeatureLayout(kind, shape), 500, 7, 0.5, view.draws("x"))
    assert masks.shape == (4, 500, *shape)
    assert masks.min() >= 0
    assert masks.max() <= 1
    mean = masks.mean(dim=(0, 1))
    assert (mean - 0.5).abs().max() < 0.06
    for axis in range(2 if kind == "image" else 1):
        step = masks.diff(dim=2 + axis).abs().max()
        assert step <= min(7, shape[axis]) / shape[axis] + 1e-6


def test_rise_gives_features_that_no_mask_keeps_the_mean_over_all_masks():
    """Three masks on six columns: checked against means taken one feature at a time."""
    view = make_view(mlp(TABLE), make_inputs(TABLE, 40))
    masks = _masks(FeatureLayout("table", TABLE), 3, 7, 0.5, view.draws("explain"))
    assert (masks.sum(dim=1) == 0).any(dim=1).sum() > 5
    values = torch.stack([view.scores(masks[:, k] * view.inputs) for k in range(3)], dim=1)
    expected = torch.empty(40, 6)
    for i in range(40):
        for j in range(6):
            kept = masks[i, :, j] == 1
            expected[i, j] = values[i][kept].mean() if kept.any() else values[i].mean()
    expected -= expected.amin(dim=1, keepdim=True)
    torch.testing.assert_close(run("rise", view, n_samples=3), expected, **CLOSE)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1])
def test_rise_needs_features_that_are_sometimes_kept(p):
    with pytest.raises(UsageError, match="between 0 and 1"):
        run("rise", view_of("table"), p=p)


@pytest.mark.parametrize("name", ["lime", "kernel_shap", "shapley_sampling", "rise"])
def test_counts_must_be_positive(name):
    with pytest.raises(UsageError, match="n_samples"):
        run(name, view_of("table"), n_samples=0)


@pytest.mark.parametrize("name", ["lime", "kernel_shap", "shapley_sampling", "feature_ablation", "occlusion"])
def test_one_player_takes_all(name):
    view = make_view(linear((1,)), make_inputs((1,), 3))
    gap = view.scores(view.inputs) - view.scores(torch.zeros_like(view.inputs))
    params = {"ridge": 1e-12} if name == "lime" else {}
    torch.testing.assert_close(run(name, view, **params).squeeze(1), gap, **CLOSE)
