"""Two features in one hidden unit: closed forms, training, and who names the features that are represented."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.integrate import dblquad
from scipy.optimize import approx_fprime

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.superposition.autoencoder import (
    Autoencoder,
    FeatureDistribution,
    loss_and_gradient,
    train_autoencoder,
)
from xaibench.functions.superposition.theory import (
    SolutionKind,
    closed_form_losses,
    predicted_kind,
    switching_probability,
)
from xaibench.functions.superposition.toy_models import closed_form_net, superposition

KINDS: tuple[SolutionKind, ...] = ("first only", "second only", "both")


@cache
def trained(p: float, r: float) -> tuple[list[float], float]:
    """Share of each feature's variance that the best trained net explains, and its loss."""
    net, loss = train_autoencoder(p, r, np.random.default_rng(round(1000 * p)))
    world = FeatureDistribution.of(p)
    return (1 - world.losses(net) / world.variances()).tolist(), loss


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("p", "r"), [(0.05, 0.1), (0.3, 0.5), (0.6, 1.0), (0.9, 2.0)])
def test_closed_forms_are_the_losses_of_their_nets(kind: SolutionKind, p: float, r: float) -> None:
    """By adaptive quadrature over the cases that none, one or both features are there."""
    net = closed_form_net(kind, p)

    def error(x: float, y: float) -> float:
        found = net(torch.tensor([[x, y]], dtype=torch.float64))[0]
        return float((found[0] - x) ** 2 + r * (found[1] - y) ** 2)

    ends = np.polynomial.legendre.leggauss(12)
    u, w = (ends[0] + 1) / 2, ends[1] / 2
    one = sum(k * (error(x, 0.0) + error(0.0, x)) for x, k in zip(u, w, strict=True))
    both = dblquad(lambda y, x: error(x, y), 0, 1, 0, lambda x: x, epsabs=1e-5)[0]
    both += dblquad(lambda y, x: error(x, y), 0, 1, lambda x: x, 1, epsabs=1e-5)[0]
    wanted = (1 - p) ** 2 * error(0.0, 0.0) + p * (1 - p) * one + p**2 * both
    assert closed_form_losses(p, r)[kind] == pytest.approx(wanted, abs=5e-5)


@pytest.mark.parametrize("r", [0.1, 0.5, 1.0, 2.0, 4.0])
def test_losses_are_equal_at_the_switch(r: float) -> None:
    switch = switching_probability(r)
    losses = closed_form_losses(switch, r)
    assert losses["both"] == pytest.approx(min(losses["first only"], losses["second only"]), rel=1e-12)
    assert predicted_kind(switch - 1e-6, r) == "both"
    assert predicted_kind(switch + 1e-6, r) == ("second only" if r > 1 else "first only")
    assert round(switching_probability(0.1), 3) == 0.16


def test_the_gradient_is_that_of_the_loss() -> None:
    world = FeatureDistribution.of(0.4)
    for at in ([0.7, -0.9, 0.05, 0.1], [-0.3, 1.2, 0.2, -0.01]):
        x = np.array(at)
        found = approx_fprime(x, lambda y: loss_and_gradient(y, world, 0.5)[0], 1e-7)
        np.testing.assert_allclose(loss_and_gradient(x, world, 0.5)[1], found, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_quadrature_has_the_closed_forms_to_three_digits(kind: SolutionKind) -> None:
    for p, r in ((0.1, 0.1), (0.384, 0.5), (0.571, 1.0), (0.8, 2.0)):
        found = FeatureDistribution.of(p).losses(closed_form_net(kind, p)) @ np.array([1.0, r])
        assert found == pytest.approx(closed_form_losses(p, r)[kind], rel=1e-3)


@pytest.mark.parametrize("r", [0.1, 0.5, 2.0])
def test_the_kind_switches_where_the_closed_forms_do(r: float) -> None:
    switch = switching_probability(r)
    below, above = (trained(round(switch + d, 6), r)[0] for d in (-0.06, 0.06))
    assert min(below) > 0.05
    kept = 1 if r > 1 else 0
    assert above[kept] > 0.95
    assert above[1 - kept] < 0.01


@pytest.mark.parametrize("r", [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.51, 0.8])
def test_training_is_never_worse_than_the_closed_form(p: float, r: float) -> None:
    ratio = trained(p, r)[1] / min(closed_form_losses(p, r).values())
    assert ratio <= 1.001
    if p <= 0.1:
        assert ratio >= (0.95 if r == 0.1 else 0.99)
    assert ratio >= 0.9


def test_equal_features_stay_together_beyond_the_switch() -> None:
    explained, loss = trained(0.8, 1.0)
    assert min(explained) > 0.05
    assert loss == pytest.approx(0.1055, abs=5e-5)
    assert trained(0.51, 1.0)[1] == pytest.approx(0.0792, abs=5e-4)


def accuracy(case: xb.Case, answer: xb.Scores) -> float:
    spec = get("metric", "representation_accuracy")
    assert isinstance(spec, MetricSpec)
    return float(score_programs(spec, {}, xb.CaseEvaluation((case,), (answer,), seed=0, budget=0))[0])


@pytest.mark.parametrize("solution", ["trained", "closed form"])
def test_who_names_the_represented_features(solution: str) -> None:
    cases = superposition(seed=11, solution=solution)  # type: ignore[arg-type]
    assert len(cases) == 12
    right: dict[str, list[float]] = {}
    for method in (
        "oracle", "closed_form_prediction", "weight_size", "feature_dropping", "own_gradient", "always_both",
        "most_important_only",
    ):  # fmt: skip
        right[method] = [accuracy(c, xb.explain_case(method, c)) for c in cases]  # type: ignore[arg-type]
    for method in ("oracle", "closed_form_prediction", "weight_size", "feature_dropping", "own_gradient"):
        assert right[method] == [1.0] * 12, method
    assert sum(right["always_both"]) == sum(right["most_important_only"]) == 6
    assert [a + b for a, b in zip(right["always_both"], right["most_important_only"], strict=True)] == [1.0] * 12


def test_theory_fails_where_features_are_equal() -> None:
    cases = superposition(seed=11, importance="equal")
    right = [accuracy(c, xb.explain_case("closed_form_prediction", c)) for c in cases]  # type: ignore[arg-type]
    assert right == [1, 1, 1, 0, 0, 0]
    assert [accuracy(c, xb.explain_case("weight_size", c)) for c in cases] == [1] * 6  # type: ignore[arg-type]


def test_what_is_named_is_relative_and_no_opinion_names_nothing() -> None:
    both, first = superposition(seed=11, solution="closed form")[1:3]
    assert accuracy(both, xb.Scores(torch.tensor([-5.0, 0.6]).double())) == 1
    assert accuracy(both, xb.Scores(torch.tensor([5.0, 0.4]).double())) == 0
    assert accuracy(first, xb.Scores(torch.tensor([1e-9, torch.nan]).double())) == 1
    assert accuracy(first, xb.Scores(torch.zeros(2).double())) == 0


def test_a_net_that_is_worse_than_the_closed_form_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(case.failed_gates for case in superposition(seed=11, solution="closed form"))

    def poor(p: float, r: float, rng: np.random.Generator) -> tuple[Autoencoder, float]:
        net = Autoencoder(np.array([1.0, -1.0]), np.array([0.1, 0.1]))
        return net, float(FeatureDistribution.of(p).losses(net) @ np.array([1.0, r]))

    monkeypatch.setattr("xaibench.functions.superposition.toy_models.train_autoencoder", poor)
    assert superposition(seed=11)[0].failed_gates
