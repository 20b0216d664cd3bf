"""Ties never give credit: maps that say nothing score no better than random ones, whatever the metric.

Models, weights and masks are full of ties: half of the weights are of one size, and all others are 0.
What a metric favours by its definition it declares, and is held to that, both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from helpers.builders import make_evaluation, make_inputs, make_view, whole_truth
from helpers.metric_lists import METRICS_OF_ARRAYS
from helpers.refit import Refit
from torch import Tensor, nn

from xaibench.core.components import MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain
from xaibench.core.needs import DATA_NEEDS
from xaibench.core.problem import ProblemView
from xaibench.core.scoring import score
from xaibench.metrics.ground_truth.weight_agreement import true_weights
from xaibench.metrics.maps.orders import descending, ranks_of
from xaibench.metrics.maps.segments import group_values

SMALL = {
    "n_samples": 6, "n_subsets": 20, "steps": 8, "n_retrainings": 2, "n_repeats": 2, "min_accuracy": 0.0,
    "min_kept": 0.0, "max_lost": 1.0, "queries": 3, "n_noise": 2,
}  # fmt: skip
N, SEEDS = 60, 6
SHAPES = {"table": (10,), "image": (1, 6, 6), "series": (10, 2)}
LONG = {"emd"}
"""Above half a second."""


def noise(view: ProblemView, stream: str) -> Tensor:
    return view.draws(stream).normal(view.layout.feature_shape)


def constant(view: ProblemView, stream: str) -> Tensor:
    """As large as noise, and no power of two, so that sums and means of it are rounded."""
    return torch.full((len(view), *view.layout.feature_shape), 1.1)


def zero(view: ProblemView, stream: str) -> Tensor:
    return torch.zeros(len(view), *view.layout.feature_shape)


def kind_of(spec: MetricSpec) -> str:
    kinds = spec.needs & DATA_NEEDS
    return next(kind for kind in SHAPES if not kinds or kind in kinds)


@cache
def problem(kind: str, seed: int) -> ProblemView:
    """A network whose every class has weights of 1, -1 and 0 in its first layer, with the mask of what is not 0."""
    rng, shape = np.random.default_rng(seed), SHAPES[kind]
    d = math.prod(shape)
    weights = np.stack([rng.permutation(np.arange(d) < 0.4 * d) * rng.choice([-1, 1], d) for _ in range(3)])
    module = nn.Sequential(nn.Flatten(), nn.Linear(d, 3), nn.Softplus())
    with torch.no_grad():
        module[1].weight.copy_(torch.from_numpy(weights))  # type: ignore[operator]
        module[1].bias.fill_(0.5)  # type: ignore[operator]
    inputs = make_inputs(shape, N, seed=seed).round(decimals=1)
    view = make_view(module.eval(), inputs, background=make_inputs(shape, 40, seed=seed + 100), seed=seed)
    true = torch.from_numpy(weights).float()[view.targets].view(N, *view.layout.feature_shape)
    mask = true != 0
    other = torch.from_numpy(rng.random(mask.shape) < 0.5)
    return replace(view, truth=whole_truth(mask, true, ~mask & other))


def scores(spec: MetricSpec, function: Callable[[ProblemView, str], Tensor]) -> Tensor:
    """Of all samples, or repeats, of all seeds."""
    bound = spec.bind({name: value for name, value in SMALL.items() if name in spec.parameters})
    # Unsigned, where that is accepted: signs of contributions are read with those of the input, which know something.
    kind = "saliency" if "saliency" in spec.accepts else "contribution"
    found = []
    for seed in range(SEEDS):
        view = problem(kind_of(spec), seed)
        own = explain(function, view, "explain")
        ev = make_evaluation(view, own, kind=kind, function=function, retraining=Refit(view))
        found.append(score(spec, bound, ev).values)
    return torch.cat(found).double()


def advantage(spec: MetricSpec, own: Tensor, random: Tensor) -> tuple[float, float]:
    """How much better the maps score than random ones, and the standard error of that."""
    own, random = (t.clamp(min=1e-12).log10() if spec.aggregate == "median_log10" else t for t in (own, random))
    own, random = own[torch.isfinite(own)], random[torch.isfinite(random)]
    if not len(own) or not len(random):
        return math.nan, math.nan
    error = math.sqrt(sum(float(t.var(correction=0)) / len(t) for t in (own, random)))
    return (1 if spec.higher_is_better else -1) * float(own.mean() - random.mean()), error


@pytest.mark.parametrize(
    "spec", [pytest.param(s, id=s.name, marks=[pytest.mark.slow] if s.name in LONG else []) for s in METRICS_OF_ARRAYS]
)
def test_maps_that_say_nothing_have_no_advantage_unless_the_metric_declares_it(spec: MetricSpec) -> None:
    random = scores(spec, noise)
    for name, function in (("constant maps", constant), ("zero maps", zero)):
        better, error = advantage(spec, scores(spec, function), random)
        if math.isnan(better):
            assert name not in spec.favours
        else:
            assert (better > 4 * error + 1e-6) == (name in spec.favours), (name, better, error)


def shared_shuffle(ev: Evaluation, *, k: float = 0.25) -> Tensor:
    """The fault that was: weights and attributions whose ties are broken by one draw."""
    weights = true_weights(ev).abs()
    top = (ranks_of(descending(ev, v)) < 3 for v in (weights, ev.attributions.abs().flatten(1)))
    return torch.stack(list(top)).all(dim=0).double().sum(dim=1) / 3


def by_position_of_the_truth(ev: Evaluation) -> Tensor:
    """Ties that go to the true features: a stable sort of a map behind its mask."""
    assert ev.truth is not None
    assert ev.truth.mask is not None
    mask = ev.truth.mask.flatten(1)
    order = ev.attributions.flatten(1).double() + 1e-9 * mask
    return mask.gather(1, order.argmax(dim=1, keepdim=True)).squeeze(1).double()


def ties_that_agree(ev: Evaluation) -> Tensor:
    """Pairs that agree if they tie on both sides, and do not if they tie on one."""
    a, w = (
        torch.sign(v.unsqueeze(2) - v.unsqueeze(1)) for v in (ev.attributions.flatten(1).abs(), true_weights(ev).abs())
    )
    return (a == w).double().mean(dim=(1, 2))


def nothing_is_right(ev: Evaluation) -> Tensor:
    """Features of no weight count as found where nothing is attributed to them."""
    return ((ev.attributions.flatten(1) == 0) == (true_weights(ev) == 0)).double().mean(dim=1)


@pytest.mark.parametrize("fault", [shared_shuffle, by_position_of_the_truth, ties_that_agree, nothing_is_right])
def test_a_metric_that_gives_credit_for_ties_is_found(fault: Callable[..., Tensor]) -> None:
    spec = next(s for s in METRICS_OF_ARRAYS if s.name == "feature_agreement")
    planted = replace(spec, name=fault.__name__, function=fault)
    with pytest.raises(AssertionError, match="maps"):
        test_maps_that_say_nothing_have_no_advantage_unless_the_metric_declares_it(planted)


def test_superpixels_of_a_constant_map_tie_whatever_their_size() -> None:
    """In float32 the mean of a hundred numbers .3 is not .3, so that rounding put segments in order of their size."""
    labels = torch.repeat_interleave(torch.arange(12), torch.tensor([1, 2, 3, 5, 7, 11, 13, 40, 61, 77, 100, 123]))
    for value in (0.1, 0.3, 1.1, 1e-7, -0.7):
        maps = torch.full((1, len(labels)), value)
        means = group_values(maps, labels.unsqueeze(0), mean=True)
        assert torch.equal(means, torch.full((1, 12), value))
