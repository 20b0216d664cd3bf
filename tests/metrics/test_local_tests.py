"""Tests of local hypotheses against loops over the model, and against what attributions cannot know."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.builders import RGB, TABLE, linear, make_evaluation, make_inputs, make_view, mlp
from torch import Tensor, nn

from xaibench.core.components import ExplainerSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain, explain_function
from xaibench.core.registry import get
from xaibench.core.storage.cache import MemoryCache
from xaibench.datasets.piecewise import piecewise
from xaibench.metrics.faithfulness.local_tests import recourse_test, slope_test, spurious_test
from xaibench.models.analytic import piecewise_linear

LOCAL = (slope_test, recourse_test)


class Square(nn.Module):
    """f(x) = sum of weight * (x - centre)^2, and nothing for a second class."""

    def __init__(self, weight: list[float], centre: list[float]) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(weight))
        self.register_buffer("centre", torch.tensor(centre))

    def forward(self, x: Tensor) -> Tensor:
        f = (self.weight * (x - self.centre) ** 2).sum(dim=1)
        return torch.stack([f, torch.zeros_like(f)], dim=1)


def square(attributions: list[float], *, inputs: list[float] | None = None, kind: str = "slope") -> Evaluation:
    """One sample at 1, by default, of four features."""
    module = Square([1.0, -1.0, 2.0, 0.0], [0.0, 0.5, 1.2, 0.0])
    x = torch.tensor([inputs or [1.0, 1.0, 1.0, 1.0]])
    view = make_view(module, x, targets=torch.zeros(1, dtype=torch.int64))
    return make_evaluation(view, torch.tensor([attributions]), kind=kind)


# At radius .1 the outputs rise for the first feature and fall for the next two; at radius 1, f rises with
# the third, too. The last one does nothing.
@pytest.mark.parametrize(
    ("maps", "radius", "slope"),
    [
        ([1.0, -1.0, -1.0, 0.0], 0.1, 2.0),
        ([-1.0, 1.0, 1.0, 1.0], 0.1, 0.0),
        ([1.0, 1.0, -1.0, 0.0], 0.1, 1 + 2 / 3),
        ([1.0, 1.0, 1.0, 1.0], 0.1, 1.0),
        ([0.0, 0.0, 0.0, 0.0], 0.1, 1.0),
        ([1.0, -1.0, -1.0, 0.0], 1.0, 1.5),
        ([1.0, -1.0, 1.0, 0.0], 1.0, 2.0),
    ],
)
def test_slopes_by_hand(maps: list[float], radius: float, slope: float) -> None:
    assert float(slope_test(square(maps), radius=radius)) == pytest.approx(slope)


@pytest.mark.parametrize(
    ("maps", "radius", "recourse"),
    [
        ([1.0, -1.0, -1.0, 5.0], 0.1, 2.0),
        ([1.0, -1.0, -1.0, -5.0], 0.1, 2.0),
        ([-1.0, 1.0, 1.0, 0.0], 0.1, 0.0),
        ([1.0, 1.0, -1.0, 0.0], 0.1, 1.5),
        ([0.0, -1.0, -1.0, 0.0], 0.1, 1.5),
        ([0.0, 0.0, 0.0, 0.0], 0.1, 1.0),
    ],
)
def test_recourse_by_hand_leaves_out_what_does_nothing(maps: list[float], radius: float, recourse: float) -> None:
    assert float(recourse_test(square(maps), radius=radius)) == pytest.approx(recourse)


def test_contributions_are_read_by_the_side_of_the_baseline() -> None:
    inputs = [1.0, -1.0, 1.0, -1.0]
    slopes = [1.0, 1.0, -1.0, 0.0]
    contributions = [s * x for s, x in zip(slopes, inputs, strict=True)]
    for metric in LOCAL:
        read = metric(square(contributions, inputs=inputs, kind="contribution"))
        assert float(read) == float(metric(square(slopes, inputs=inputs))) == 2.0
        assert float(metric(square(contributions, inputs=inputs))) < 2.0


def test_a_contribution_at_the_baseline_leaves_it_to_a_coin() -> None:
    inputs = [0.5, 0.0, 0.0, 1.0]
    # True slopes: up, up, down, none. Only the first is known.
    ev = square([0.5, 9.0, -9.0, 0.0], inputs=inputs, kind="contribution")
    assert float(slope_test(ev)) == pytest.approx((1 + 0.5) / 2 + (0.5 + 1) / 2)
    assert float(recourse_test(ev)) == pytest.approx((1 + 0.5) / 2 + 0.5)


def test_the_metrics_masker_is_the_baseline_of_contributions() -> None:
    background = torch.full((4, 4), 2.0)
    module = Square([1.0, -1.0, 2.0, 0.0], [0.0, 0.5, 1.2, 0.0])
    view = make_view(module, torch.ones(1, 4), targets=torch.zeros(1, dtype=torch.int64), background=background)
    ev = make_evaluation(view, torch.tensor([[-1.0, 1.0, 1.0, 0.0]]), kind="contribution")
    assert float(slope_test(ev, masker="mean")) == 2.0
    assert float(slope_test(ev)) == pytest.approx(0.0 + 1 / 3)


def test_one_class_alone_is_undefined() -> None:
    module = Square([1.0, 1.0, 1.0, 1.0], [0.0] * 4)
    view = make_view(module, torch.ones(1, 4), targets=torch.zeros(1, dtype=torch.int64))
    ev = make_evaluation(view, torch.ones(1, 4))
    assert all(bool(torch.isnan(metric(ev))) for metric in (*LOCAL, spurious_test))


@pytest.mark.parametrize(
    ("maps", "score"),
    [([3.0, -2.0, 1.0, 0.0], 2.0), ([3.0, -2.0, 1.0, 0.05], 2.0), ([3.0, -2.0, 1.0, 0.3], 1.0), ([0, 0, 0, 1.0], 0.0),
     ([0.0, 0.0, 0.0, 0.0], 1.0), ([1.0, 1.0, 1.0, 1.0], 1.0), ([1.0, 0.0, 1.0, 0.0], 1 + 2 / 3)],
)  # fmt: skip
def test_flat_features_by_hand(maps: list[float], score: float) -> None:
    assert float(spurious_test(square(maps))) == pytest.approx(score)


def test_flat_at_the_ends_of_the_step_is_not_flat() -> None:
    """A symmetric bump that is over at both ends moves the output half way."""

    class Bump(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            f = x[:, 0] + (0.5 - (x[:, 1] - 1).abs()).clamp(min=0) * 4 + (1 - (x[:, 1] - 1).abs() * 2).abs()
            return torch.stack([f + 0 * x[:, 2], torch.zeros_like(f)], dim=1)

    view = make_view(Bump(), torch.ones(1, 3), targets=torch.zeros(1, dtype=torch.int64))
    ends = [float(view.scores(torch.tensor([[1.0, 1 + d, 1.0]]), slice(None))) for d in (-1.0, 0.0, 1.0)]
    assert ends[0] == ends[2]
    ev = make_evaluation(view, torch.tensor([[1.0, 1.0, 0.0]]))
    assert float(spurious_test(ev, radius=1.0)) == 2.0


@pytest.mark.parametrize("radius", [0.05, 0.5])
def test_movements_are_those_of_a_loop(radius: float) -> None:
    shape = RGB
    view = make_view(mlp(shape), make_inputs(shape, 3))
    ev = make_evaluation(view, make_inputs((8, 8), 3, seed=4))
    expected = []
    clean = view.scores(view.inputs)
    for row in range(3):
        rises = np.zeros(64, dtype=bool)
        for pixel in range(64):
            moved = view.inputs[row : row + 1].clone()
            moved[0, :, pixel // 8, pixel % 8] += radius
            rises[pixel] = float(view.scores(moved, torch.tensor([row])) - clean[row]) > 0
        says = ev.attributions[row].flatten().numpy() > 0
        expected.append((says & rises).sum() / rises.sum() + (~says & ~rises).sum() / (~rises).sum())
    np.testing.assert_allclose(slope_test(ev, radius=radius), expected, rtol=1e-6)


def test_all_explainers_share_the_queries() -> None:
    view = make_view(linear(TABLE), make_inputs(TABLE, 4))
    ev = make_evaluation(view)
    recourse_test(ev)
    before = view.model.n_evaluations
    slope_test(ev)
    slope_test(Evaluation.of(view, attributions=-ev.attributions, kind="slope", cache=MemoryCache(), shared=ev.shared))
    assert view.model.n_evaluations == before


def explained(cells: int, name: str, *, bump: bool = False, n: int = 40, d: int = 100, **params: object) -> Evaluation:
    """A method's maps of the generated functions, at their own samples."""
    data = piecewise(seed=7, cells=cells, features=d, functions=n, bump=bump)
    view = make_view(
        piecewise_linear(data), torch.from_numpy(data.test_inputs), targets=torch.from_numpy(data.test_targets)
    )
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    maps = explain(explain_function(spec, spec.bind(params)), view, "explain")
    return make_evaluation(view, maps, kind=str(spec.attribution_kind))


COMPLETE = [("integrated_gradients", {"steps": 40}), ("shapley_sampling", {"n_samples": 1}), ("feature_ablation", {})]


@pytest.mark.parametrize(("name", "params"), COMPLETE)
@pytest.mark.parametrize("cells", [2, 10])
def test_agreement_is_that_of_the_theory(name: str, params: dict[str, object], cells: int) -> None:
    """4,000 draws, within 4 standard errors of agreement; sensitivity plus specificity is twice that."""
    theory = 0.5 + math.asin(1 / math.sqrt(cells)) / math.pi
    found = slope_test(explained(cells, name, **params), radius=0.9)
    assert float(found.mean()) / 2 == pytest.approx(theory, abs=4 * math.sqrt(theory * (1 - theory) / 4000))


@pytest.mark.parametrize(("name", "params"), COMPLETE)
def test_a_bump_hides_everything_from_attributions_that_add_up(name: str, params: dict[str, object]) -> None:
    ev = explained(10, name, bump=True, **params)
    torch.testing.assert_close(ev.attributions, torch.ones_like(ev.attributions), rtol=0, atol=0.05)
    for metric in LOCAL:
        assert bool((metric(ev, radius=0.5) == 1).all())


@pytest.mark.parametrize("bump", [False, True])
@pytest.mark.parametrize(("name", "params"), [("gradient", {}), ("finite_difference", {"radius": 0.5})])
def test_the_model_itself_is_never_deceived(name: str, params: dict[str, object], bump: bool) -> None:
    for metric in LOCAL:
        assert float(metric(explained(10, name, bump=bump, **params), radius=0.5).min()) > 1.95
