"""Effects of single features against literal loops, SciPy, and models with planted unused features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, SHAPES, TABLE, cnn, linear, make_evaluation, make_inputs, make_view, mlp, occlusion
from scipy import stats
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.core.storage.cache import MemoryCache, SharedCache
from xaibench.metrics.engines.feature_effects import drawn_masker, mean_square_effects, without_each

UNUSED = [1, 4]


def run(name: str, ev: Evaluation, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def linear_view(shape: tuple[int, ...], n: int = 6):
    """A linear model and its slopes (N, *input_shape)."""
    module = linear(shape)
    view = make_view(module, make_inputs(shape, n), background=make_inputs(shape, 11, seed=1) + 1)
    return view, module[1].weight.detach()[view.targets].view(-1, *shape)  # type: ignore[index]


def ignoring(module: nn.Module) -> nn.Module:
    """The same model, blind to two of its features."""
    first = next(m for m in module.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        first.weight[:, UNUSED] = 0
    return module


@pytest.mark.parametrize("masker", ["zero", "mean", "uniform", "marginal"])
@pytest.mark.parametrize("kind", SHAPES)
def test_contributions_of_a_linear_model_are_the_drops(kind: str, masker: str) -> None:
    view, w = linear_view(SHAPES[kind])
    exact = make_evaluation(view, view.layout.reduce(w * (view.inputs - view.removed(masker))), kind="contribution")
    np.testing.assert_allclose(run("faithfulness_estimate", exact, masker=masker), 1, atol=1e-4)
    if view.layout.one_number_each:
        slopes = make_evaluation(view, w.view(len(view), *view.layout.feature_shape))
        np.testing.assert_allclose(run("faithfulness_estimate", slopes, masker=masker), 1, atol=1e-4)
    negative = make_evaluation(view, -exact.attributions, kind="contribution")
    np.testing.assert_allclose(run("faithfulness_estimate", negative, masker=masker), -1, atol=1e-4)


@pytest.mark.parametrize("kind", ["image", "rgb", "series"])
def test_imputed_features_are_those_of_a_loop(kind: str) -> None:
    view, _ = linear_view(SHAPES[kind])
    n_features, masker = view.layout.n_features, make_evaluation(view).masker("noisy_linear")
    expected = []
    for feature in range(n_features):
        keep = torch.ones(len(view), n_features, dtype=torch.bool)
        keep[:, feature] = False
        expected.append(view.scores(masker(view.inputs, keep.view(-1, *view.layout.feature_shape))))
    found = without_each(make_evaluation(view, kind="contribution"), "noisy_linear")
    np.testing.assert_allclose(found, torch.stack(expected, dim=1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["image", "rgb"])
def test_occlusion_is_faithful_to_itself_on_any_model(kind: str) -> None:
    view = make_view(cnn(SHAPES[kind]), make_inputs(SHAPES[kind], 3))
    ev = make_evaluation(view, occlusion(view), kind="contribution")
    np.testing.assert_allclose(run("faithfulness_estimate", ev, masker="zero"), 1, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4, 10])
def test_estimate_is_the_literal_loop(size: int) -> None:
    view = make_view(mlp((10,)), make_inputs((10,), 5))
    maps = make_inputs((10,), 5, seed=3)
    expected = []
    for row in range(5):
        order = np.argsort(-maps[row].numpy())
        sums, drops = [], []
        for start in range(0, 10, size):
            gone = order[start : start + size]
            changed = view.inputs[[row]].clone()
            changed[0, gone] = 0
            sums.append(maps[row, gone].sum().item())
            drops.append(
                (
                    view.scores(view.inputs[[row]], slice(row, row + 1)) - view.scores(changed, slice(row, row + 1))
                ).item()
            )
        expected.append(stats.pearsonr(sums, drops)[0] if len(sums) > 1 else np.nan)
    ev = make_evaluation(view, maps, kind="contribution")
    np.testing.assert_allclose(run("faithfulness_estimate", ev, subset_size=size, masker="zero"), expected, atol=1e-4)


def test_subset_size_is_checked() -> None:
    view, w = linear_view(TABLE)
    with pytest.raises(UnsupportedError, match="subset_size"):
        run("faithfulness_estimate", make_evaluation(view, w), subset_size=7)


@pytest.mark.parametrize("masker", ["uniform", "marginal"])
def test_effects_are_those_of_features_redrawn_one_by_one(masker: str) -> None:
    view = make_view(mlp(TABLE), make_inputs(TABLE, 4), background=make_inputs(TABLE, 11, seed=1) + 1)
    ev = make_evaluation(view)
    total = np.zeros((4, 6))
    for draw in range(3):
        fill = drawn_masker(ev, masker, draw).fill
        for feature in range(6):
            changed = view.inputs.clone()
            changed[:, feature] = fill[:, feature]
            total[:, feature] += (view.scores(changed) - view.scores(view.inputs)).square().numpy()
    found, _ = mean_square_effects(ev, masker, 3)
    np.testing.assert_allclose(found, total / 3, rtol=1e-3, atol=1e-6)
    maps = make_inputs(TABLE, 4, seed=2)
    expected = [stats.spearmanr(maps[i].abs(), total[i])[0] for i in range(4)]
    given = make_evaluation(view, maps, kind="contribution")
    np.testing.assert_allclose(run("monotonicity_correlation", given, masker=masker, n_samples=3), expected, atol=1e-6)


@pytest.mark.slow
def test_mean_square_effects_of_a_linear_model_have_a_closed_form() -> None:
    """``w_i^2 E[(x_i - X)^2]`` with X from the background's range, or from its rows."""
    view, w = linear_view(TABLE)
    ev = make_evaluation(view, w)
    assert view.background is not None
    low, high = view.background.aminmax(dim=0)
    uniform = w.square() * ((view.inputs - (low + high) / 2).square() + (high - low).square() / 12)
    np.testing.assert_allclose(mean_square_effects(ev, "uniform", 400)[0], uniform, rtol=0.25)
    rows = w.square() * (view.inputs.unsqueeze(1) - view.background).square().mean(dim=1)
    np.testing.assert_allclose(mean_square_effects(ev, "marginal", 400)[0], rows, rtol=0.25)
    best = make_evaluation(view, uniform.sqrt() * torch.tensor([1.0, -1, 1, -1, 1, -1]), kind="contribution")
    assert run("monotonicity_correlation", best, n_samples=400).mean() > 0.97


def test_draws_are_different_and_the_first_is_that_of_every_metric() -> None:
    view, w = linear_view(IMAGE)
    ev = make_evaluation(view, w.squeeze(1))
    outputs = [without_each(ev, "uniform", draw) for draw in range(3)]
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[1], outputs[2])
    assert torch.equal(drawn_masker(ev, "uniform", 0).fill, view.removed("uniform"))


def test_features_without_effect_should_have_no_attribution() -> None:
    view = make_view(ignoring(mlp(TABLE)), make_inputs(TABLE, 5), background=make_inputs(TABLE, 20, seed=1))
    right = torch.ones(5, 6)
    right[:, UNUSED] = 0
    missed, dense = right.clone(), torch.ones(5, 6)
    missed[:, 0] = 0
    for maps, errors in ((right, 0), (-right, 0), (missed, 1), (dense, 2), (1 - right, 6), (0 * right, 4)):
        ev = make_evaluation(view, maps, kind="contribution")
        assert run("non_sensitivity", ev).tolist() == pytest.approx([errors / 6] * 5)
    slopes = make_evaluation(view)
    assert run("non_sensitivity", slopes).tolist() == [0] * 5


def test_what_counts_as_zero_is_relative() -> None:
    view = make_view(ignoring(linear(TABLE)), make_inputs(TABLE, 5))
    maps = torch.ones(5, 6)
    maps[:, UNUSED] = 1e-6
    for scale in (1e-4, 1, 1e4):
        ev = make_evaluation(view, scale * maps, kind="contribution")
        assert run("non_sensitivity", ev).tolist() == [0] * 5
        assert run("non_sensitivity", ev, tolerance=0).tolist() == pytest.approx([2 / 6] * 5)
        assert run("non_sensitivity", ev, effect_tolerance=1e3).tolist() == pytest.approx([4 / 6] * 5)


def test_a_model_that_ignores_everything_has_no_correlation_but_a_sensitivity() -> None:
    module = linear(TABLE)
    nn.init.zeros_(module[1].weight)  # type: ignore[index]
    ev = make_evaluation(make_view(module, make_inputs(TABLE, 4)), make_inputs(TABLE, 4, seed=3), kind="contribution")
    for name in ("faithfulness_estimate", "monotonicity_correlation"):
        assert bool(torch.isnan(run(name, ev)).all())
    assert run("non_sensitivity", ev).tolist() == [1] * 4


def test_all_that_redraw_features_share_their_evaluations() -> None:
    view = make_view(mlp(IMAGE), make_inputs(IMAGE, 4))
    base = replace(make_evaluation(view), shared=SharedCache())
    start = view.model.n_evaluations
    run("monotonicity_correlation", base, n_samples=3)
    assert view.model.n_evaluations - start == 4 * (3 * 64 + 1)
    before = view.model.n_evaluations
    for seed in range(16):
        maps = make_inputs((8, 8), 4, seed=seed) * (make_inputs((8, 8), 4, seed=seed + 50) > 0)
        other = replace(base, attributions=maps, kind="contribution", cache=MemoryCache())
        assert 0.3 < run("non_sensitivity", other, n_samples=3).mean() < 0.7
        run("faithfulness_estimate", other, masker="uniform")
    assert view.model.n_evaluations == before
