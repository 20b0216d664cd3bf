"""What the suites impossibility, synthgauss and neighbourhood rest on, at full size, on seeds of their own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain, explain_function
from xaibench.core.problem import Problem
from xaibench.core.registry import get
from xaibench.core.scoring import score
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef

SEEDS = (101, 102, 103)
FUNCTIONS, FEATURES = 50, 400
"""20,000 pairs of sample and feature."""
IG = ("integrated_gradients", {"steps": 600})
SHAP = ("shapley_sampling", {"n_samples": 1})
EXACT = (("gradient", {}), ("finite_difference", {"radius": 0.5}))


def problem(
    dataset: str, model: str, seed: int, *, target: str = "label", samples: int = 300, **params: object
) -> Problem:
    choices = ComponentRef.of("dataset", dataset, params), ComponentRef.of("model", model, {})
    return Problems(None).prepare(ProblemSpec(*choices, seed, samples, target, 64))


def explained(given: Problem, name: str, params: dict[str, object]) -> Evaluation:
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    maps = explain(explain_function(spec, spec.bind(params)), given.view(0), "explain")
    return Evaluation.of(given.samples, attributions=maps, kind=str(spec.attribution_kind), truth=given.truth)


def scores(ev: Evaluation, name: str, **params: object) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("cells", [2, 5, 10, 30, 100])
def test_agreement_with_the_local_slope_is_that_of_the_theory(cells: int, seed: int) -> None:
    given = problem("piecewise", "piecewise_linear", seed, cells=cells, functions=FUNCTIONS, features=FEATURES)
    theory = 0.5 + math.asin(1 / math.sqrt(cells)) / math.pi
    found = {
        n: float(scores(explained(given, n, p), "slope_test", radius=0.5).mean()) / 2 for n, p in (IG, SHAP, *EXACT)
    }
    print(f"cells {cells} seed {seed} theory {theory:.4f}", {n: round(v, 4) for n, v in found.items()})
    for name, _ in (IG, SHAP):
        assert found[name] == pytest.approx(theory, abs=0.02)
    for name, _ in EXACT:
        assert found[name] >= 0.99


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bump_leaves_a_coin(seed: int) -> None:
    given = problem("piecewise", "piecewise_linear", seed, bump=True, functions=FUNCTIONS, features=FEATURES)
    for name, params in (IG, SHAP):
        for metric in ("slope_test", "recourse_test"):
            assert bool((scores(explained(given, name, params), metric, radius=0.5) == 1).all())
    for name, params in EXACT:
        assert float(scores(explained(given, name, params), "slope_test", radius=0.5).min()) >= 1.98


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("model", ["clusterwise", "softmax_regression"])
def test_the_gradient_recovers_the_weights_and_contributions_do_not(model: str, seed: int) -> None:
    given = problem("synthgauss", model, seed, target="predicted")
    metrics = ("feature_agreement", "rank_agreement", "sign_agreement", "signed_rank_agreement")
    for metric in metrics:
        assert bool((scores(explained(given, "gradient", {}), metric) == 1).all())
    found = {m: round(float(scores(explained(given, "input_x_gradient", {}), m).mean()), 3) for m in metrics}
    print(f"{model} seed {seed} input x gradient", found)
    assert found["feature_agreement"] < 0.9
    assert found["signed_rank_agreement"] < 0.2


BEST: dict[str, tuple[str, dict[str, object]]] = {
    "gaussian": ("c_lime", {"radius": 0.5, "n_samples": 4096}),
    "gaussian_gradient": ("smoothgrad", {"radius": 0.5, "n_samples": 2048}),
    "point": ("gradient", {}),
    "uniform_path": ("integrated_gradients", {"steps": 128}),
    "point_path": ("input_x_gradient", {}),
    "binary_lime": ("lime", {"n_samples": 1024}),
    "binary_shapley": ("kernel_shap", {"n_samples": 1024}),
    "one_hot": ("feature_ablation", {}),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_method_beats_the_diagonal(seed: int) -> None:
    """By a one-sided paired test at 2.5 %, Bonferroni over the other methods; differences below 1e-4 are ties."""
    given = problem("synthgauss", "mlp", seed, target="predicted", samples=150, features=10, clusters=5)
    evs = {n: explained(given, name, params) for n, (name, params) in BEST.items()}
    for own in BEST:
        losses = {
            n: scores(ev, "neighbourhood_fit", neighbourhood=own, radius=0.5, n_samples=512) for n, ev in evs.items()
        }
        print(f"seed {seed} {own:18}", {n: round(float(v.mean()), 4) for n, v in losses.items()})
        for other in BEST:
            better = (losses[own] - losses[other]).double()
            z = float(better.mean()) / max(float(better.std()) / math.sqrt(len(better)), 1e-12)
            assert float(better.mean()) < 1e-4 or z < 2.7, (own, other)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_smoothgrad_and_c_lime_are_one_on_a_smooth_function(seed: int, radius: float) -> None:
    from xaibench.core.predictor import TorchPredictor

    torch.manual_seed(seed)
    smooth = torch.nn.Sequential(torch.nn.Linear(10, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2)).eval()
    given = problem("synthgauss", "mlp", seed, features=10, clusters=5)
    view = given.view(0)
    view = view.take(slice(None), None, TorchPredictor(smooth))
    both = []
    for name in ("c_lime", "smoothgrad"):
        spec = get("explainer", name)
        assert isinstance(spec, ExplainerSpec)
        both.append(explain(explain_function(spec, spec.bind({"radius": radius, "n_samples": 2048})), view, "explain"))
    cosines = torch.nn.functional.cosine_similarity(*both)
    print(f"seed {seed} radius {radius} smallest cosine {float(cosines.min()):.5f}")
    assert float(cosines.min()) > 0.99
