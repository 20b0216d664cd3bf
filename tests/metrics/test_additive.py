"""Faithfulness correlation and infidelity against closed forms on linear models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builders import IMAGE, RGB, SHAPES, TABLE, linear, make_evaluation, make_inputs, make_view
from scipy import stats
from torch import Tensor

from xaibench.core.components import MetricSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.registry import get
from xaibench.core.scoring import score

MASKERS = ["zero", "mean", "uniform", "marginal"]


def run(name: str, ev, **params) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def linear_view(shape: tuple[int, ...], n: int = 6, **kwargs):
    """A linear model and its slopes (N, *input_shape)."""
    module = linear(shape)
    view = make_view(module, make_inputs(shape, n), background=make_inputs(shape, 11, seed=1) + 1, **kwargs)
    return view, module[1].weight.detach()[view.targets].view(-1, *shape)  # type: ignore[index]


@pytest.mark.parametrize("masker", MASKERS)
@pytest.mark.parametrize("kind", SHAPES)
def test_contributions_of_a_linear_model_correlate_perfectly(kind: str, masker: str) -> None:
    view, w = linear_view(SHAPES[kind])
    reference = view.removed(masker)
    exact = make_evaluation(view, view.layout.reduce(w * (view.inputs - reference)), kind="contribution")
    np.testing.assert_allclose(run("faithfulness_correlation", exact, masker=masker), 1, atol=1e-4)
    weights = make_evaluation(view, view.layout.reduce(w), kind="contribution")
    assert run("faithfulness_correlation", weights, masker=masker).max() < 0.97


@pytest.mark.parametrize("masker", MASKERS)
def test_slopes_are_converted_with_the_metrics_own_masker(masker: str) -> None:
    view, w = linear_view(TABLE)
    np.testing.assert_allclose(run("faithfulness_correlation", make_evaluation(view, w), masker=masker), 1, atol=1e-4)
    other = w * (view.inputs - view.removed("zero" if masker != "zero" else "mean"))
    wrong = make_evaluation(view, other, kind="contribution")
    assert run("faithfulness_correlation", wrong, masker=masker).mean() < 0.99


def test_correlation_is_undefined_where_nothing_varies() -> None:
    view, _ = linear_view(IMAGE)
    flat = make_evaluation(view, torch.full((6, 8, 8), 0.1), kind="contribution")
    assert bool(torch.isnan(run("faithfulness_correlation", flat)).all())
    ignoring = linear(IMAGE)
    torch.nn.init.zeros_(ignoring[1].weight)  # type: ignore[index]
    blind = make_evaluation(make_view(ignoring, view.inputs), make_inputs((8, 8), 6), kind="contribution")
    assert bool(torch.isnan(run("faithfulness_correlation", blind)).all())


def test_subset_size_is_checked() -> None:
    view, w = linear_view(TABLE)
    ev = make_evaluation(view, w)
    run("faithfulness_correlation", ev, subset_size=5)
    with pytest.raises(UnsupportedError, match="subset_size"):
        run("faithfulness_correlation", ev, subset_size=7)


@pytest.mark.parametrize("kind", SHAPES)
def test_weights_of_a_linear_model_have_no_infidelity(kind: str) -> None:
    view, w = linear_view(SHAPES[kind])
    weights = make_evaluation(view, view.layout.reduce(w))
    zero = make_evaluation(view, torch.zeros_like(weights.attributions))
    for normalize in (True, False):
        own = run("infidelity", weights, normalize=normalize, n_samples=50)
        assert own.max() < 1e-6 * run("infidelity", zero, n_samples=50).min()


@pytest.mark.parametrize("kind", ["image", "rgb"])
def test_contributions_have_no_infidelity_on_squares(kind: str) -> None:
    view, w = linear_view(SHAPES[kind])
    exact = make_evaluation(view, view.layout.reduce(w * view.inputs), kind="contribution")
    zero = make_evaluation(view, torch.zeros_like(exact.attributions), kind="contribution")
    own = run("infidelity", exact, perturbation="square", normalize=False)
    assert own.max() < 1e-6 * run("infidelity", zero, perturbation="square").min()
    slope = make_evaluation(view, view.layout.reduce(w))
    if kind == "image":
        assert torch.allclose(run("infidelity", slope, perturbation="square", normalize=False), own, atol=1e-9)
    else:
        with pytest.raises(UnsupportedError):
            run("infidelity", slope, perturbation="square")


def test_squares_need_an_image() -> None:
    view, w = linear_view(TABLE)
    with pytest.raises(UnsupportedError, match="image"):
        run("infidelity", make_evaluation(view, w), perturbation="square")


def test_infidelity_of_an_empty_map_is_the_mean_squared_change() -> None:
    """``E[(w . I)^2]`` has a closed form when clipping is rare: I = x - radius * N(0, 1)."""
    module = linear(TABLE)
    inputs = 3 * torch.tensor([[1.0, -1, 1, -1, 1, -1]])
    view = make_view(module, inputs)
    w = module[1].weight.detach()[view.targets]  # type: ignore[index]
    ev = make_evaluation(view, torch.zeros(1, 6))
    expected = (w @ inputs.T).square() + 0.2**2 * w.square().sum()
    got = run("infidelity", ev, n_samples=20000)
    assert got.item() == pytest.approx(expected.item(), rel=0.02)


def test_noise_stays_within_the_range_of_the_sample() -> None:
    seen: list[Tensor] = []

    class Spy(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.clone())
            return x.flatten(1)[:, :2]

    inputs = make_inputs(IMAGE, 3).abs()
    inputs = inputs / inputs.flatten(1).amax(dim=1).view(3, 1, 1, 1)
    view = make_view(Spy(), inputs, targets=torch.zeros(3, dtype=torch.long), batch_size=64)
    ev = make_evaluation(view, torch.ones(3, 8, 8))
    seen.clear()
    run("infidelity", ev, n_samples=40)
    noisy = torch.cat([s for s in seen if len(s) != 3])
    assert noisy.min() >= -1e-6
    assert noisy.max() <= 1 + 1e-6
    assert 0.35 < (noisy.abs() < 1e-6).float().mean() < 0.65


def test_rescaling_finds_the_best_factor() -> None:
    view, w = linear_view(IMAGE)
    noise = make_inputs((8, 8), 6, seed=9)
    mixed = view.layout.reduce(w) + 0.02 * noise
    best = run("infidelity", make_evaluation(view, mixed))
    for factor in (0.5, 0.9, 1.0, 1.1, -1.0):
        assert bool((run("infidelity", make_evaluation(view, factor * mixed), normalize=False) >= best - 1e-9).all())
    np.testing.assert_allclose(run("infidelity", make_evaluation(view, -3 * mixed)), best, rtol=1e-4)


def test_every_square_is_as_likely_as_any_other() -> None:
    from xaibench.metrics.engines.perturbation import perturbation_blocks
    from xaibench.metrics.faithfulness.infidelity import _inside_squares

    view, w = linear_view((1, 3, 4), n=1)
    ev = make_evaluation(view, view.layout.reduce(w))
    block = next(perturbation_blocks(ev, 8000, "squares"))
    masks = _inside_squares(ev, block).flatten(0, 1).flatten(1)
    kinds, counts = masks.unique(dim=0, return_counts=True)
    assert len(kinds) == 3 * 4 + 2 * 3 + 1 * 2
    assert counts.min() > 0.75 * 8000 / 20
    assert counts.max() < 1.25 * 8000 / 20


@pytest.mark.parametrize("shape", [IMAGE, RGB, TABLE])
def test_the_truth_beats_noise(shape: tuple[int, ...]) -> None:
    view, w = linear_view(shape, n=20)
    noise = view.draws("noise").normal(view.layout.feature_shape)
    exact = view.layout.reduce(w * (view.inputs - view.baseline("mean")))
    truth = run("faithfulness_correlation", make_evaluation(view, exact, kind="contribution"))
    assert (
        truth.mean() > run("faithfulness_correlation", make_evaluation(view, noise, kind="contribution")).mean() + 0.5
    )
    low, high = (run("infidelity", make_evaluation(view, a)).log10().median() for a in (view.layout.reduce(w), noise))
    assert low < high - 2


@pytest.mark.parametrize("shape", [(100,), (3, 10, 10)])
def test_sensitivity_n_is_the_mean_correlation_over_sizes_rounded_down(shape: tuple[int, ...]) -> None:
    """.29 of 100 features are 29, whatever the product is in floating point; a share of all but nothing leaves one."""
    view, _ = linear_view(shape)
    ev = make_evaluation(view, view.draws("map").normal(view.layout.feature_shape), kind="contribution")
    parts = [run("faithfulness_correlation", ev, subset_size=size, n_subsets=30) for size in (1, 29, 99)]
    found = run("sensitivity_n", ev, shares=(0.001, 0.29, 0.299, 0.999), n_subsets=30)
    np.testing.assert_allclose(found, torch.stack(parts).mean(dim=0), rtol=1e-5, atol=1e-6)


def test_mu_fidelity_is_the_rank_correlation_of_what_sums_claim_and_outputs_lose() -> None:
    view, _ = linear_view(IMAGE, n=3)
    ev = make_evaluation(view, view.draws("map").normal((8, 8)), kind="contribution")
    fill, expected = view.baseline("mean"), []
    for i, gone in enumerate(view.draws("faithfulness_correlation/7").subsets(64, 7, (40,))):
        copies = torch.where(gone.view(40, 1, 8, 8), fill[i], view.inputs[i])
        drop = view.scores(view.inputs)[i] - view.scores(copies, torch.full((40,), i))
        sums = [float(ev.attributions[i].flatten()[g].sum()) for g in gone]
        expected.append(stats.spearmanr(sums, drop).statistic)
    np.testing.assert_allclose(run("mu_fidelity", ev, subset_size=7, n_subsets=40), expected, rtol=1e-3, atol=1e-3)
