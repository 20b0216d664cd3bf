"""Nets with known concepts: effects, vectors, importances and their scores, against closed forms and planted faults."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.concept_nets.generation import concept_net
from xaibench.functions.concept_nets.vectors import VectorMethod, concept_vector
from xaibench.functions.concept_nets.worlds import (
    NOISE,
    PAIRED_WEIGHTS,
    ConceptNet,
    ConceptWorld,
    concept_directions,
    dual_directions,
)

WORLDS = [(d, c) for d in ("orthogonal", "oblique") for c in (False, True)]
every_world = pytest.mark.parametrize(("directions", "correlated"), WORLDS)


@cache
def nets(directions: str, correlated: bool, n: int = 8) -> tuple[xb.Case, ...]:
    return concept_net(seed=5, n=n, directions=directions, correlated=correlated)  # type: ignore[arg-type]


def scores(metric: str, cases: tuple[xb.Case, ...], values: list[Any]) -> list[float]:
    spec = get("metric", metric)
    assert isinstance(spec, MetricSpec)
    answers = tuple(v if isinstance(v, xb.Scores) else xb.Scores(torch.as_tensor(v).double()) for v in values)
    return score_programs(spec, {}, xb.CaseEvaluation(cases, answers, seed=0, budget=0)).tolist()


def mean_score(metric: str, cases: tuple[xb.Case, ...], explainer: str, **params: Any) -> float:
    found = [xb.explain_case(explainer, case, others=cases, seed=1, **params) for case in cases]
    return float(np.mean(scores(metric, cases, found)))


@every_world
def test_interventions_confirm_the_effects(directions: str, correlated: bool) -> None:
    for case in nets(directions, correlated):
        assert not case.failed_gates
        assert sorted(case.parameters["weights"]) == sorted(w for pair in PAIRED_WEIGHTS for w in pair)
        effects = case.truth.tensors["values"]
        assert effects[case.hidden["used"] == 0].abs().max() == 0
        assert int(case.hidden["used"].sum()) == 4
        assert int(case.hidden["partner_used"].sum()) == 2


@pytest.mark.parametrize("oblique", [False, True])
def test_effects_are_the_integral_over_the_noise(oblique: bool) -> None:
    directions = concept_directions(np.random.default_rng(0), oblique=oblique)
    duals = dual_directions(directions)
    torch.testing.assert_close(duals @ directions.T, torch.eye(8, dtype=torch.float64))
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(8, dtype=torch.float64))
    net = ConceptNet(duals, torch.arange(8).double() - 3)

    def rise(e: float, scale: float) -> float:
        return float((1 / (1 + np.exp(-6 * (0.5 + e))) - 1 / (1 + np.exp(-6 * (e - 0.5)))) * norm.pdf(e, scale=scale))

    for j in range(8):
        scale = NOISE * float(duals[j].norm())
        wanted = (j - 3) * quad(rise, -3, 3, args=(scale,), epsabs=1e-10)[0]
        assert float(net.effects()[j]) == pytest.approx(wanted, abs=1e-6)
    if not oblique:
        assert float(net.effects()[5] / 2 * 2) == pytest.approx(1.55, abs=0.02), "weight 2"


def test_worlds_are_correlated_as_they_say() -> None:
    world = ConceptWorld(concept_directions(np.random.default_rng(0), oblique=False), correlated=True)
    x, c = world.sample(20000, np.random.default_rng(1))
    phi = np.corrcoef(c.T.numpy())
    assert phi[0, 1] == pytest.approx(0.6, abs=0.03)
    assert abs(phi[1, 2]) < 0.03
    torch.testing.assert_close((x - c @ world.directions).std().item(), NOISE, rtol=0.02, atol=0)
    assert abs(np.corrcoef(world.sample(20000, np.random.default_rng(1), correlated=False)[1].T.numpy())[0, 1]) < 0.03


def test_vectors_are_those_of_other_libraries() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((6, 6))
    a = torch.from_numpy(rng.standard_normal((4000, 6)) @ mixing + np.arange(6))
    b = torch.from_numpy(rng.standard_normal((4000, 6)) @ mixing)
    lda = LinearDiscriminantAnalysis(solver="lsqr").fit(torch.cat([a, b]).numpy(), np.repeat([1, 0], 4000)).coef_[0]
    found = {m: concept_vector(a, b, m, rng) for m in ("mean difference", "filter", "pattern", "logistic")}  # type: ignore[arg-type]
    lda = torch.from_numpy(lda / np.linalg.norm(lda))
    assert float(found["filter"] @ lda) > 0.99
    assert float(found["logistic"] @ lda) > 0.95, "the same but for its penalty"
    covariance = np.cov(torch.cat([a, b]).numpy().T)
    pattern = covariance @ found["filter"].numpy()
    np.testing.assert_allclose(found["pattern"], pattern / np.linalg.norm(pattern), atol=1e-9)
    # With two classes of equal covariance the pattern of the discriminant is the difference in means.
    assert float(found["pattern"] @ found["mean difference"]) > 0.999
    assert all(float(v.norm()) == pytest.approx(1) for v in found.values())


@every_world
def test_true_directions_order_concepts_and_nulls_have_no_sign(directions: str, correlated: bool) -> None:
    cases = nets(directions, correlated)
    assert mean_score("concept_spearman", cases, "true_concept_directions") > 0.99
    assert mean_score("concept_auroc", cases, "true_concept_directions") == 1
    for case in cases:
        found = xb.explain_case("true_concept_directions", case, statistic="tcav").tensors["values"]
        assert found[case.hidden["used"] == 0].abs().max() == 0, "a derivative at rounding level is no evidence"
        assert found.abs().max() <= 1


def test_a_filter_loses_where_directions_are_oblique_and_concepts_independent() -> None:
    cases = nets("oblique", False)
    plain = mean_score("concept_auroc", cases, "concept_vectors", vector="mean difference")
    filtered = mean_score("concept_auroc", cases, "concept_vectors", vector="filter")
    assert plain - filtered > 0.05
    assert mean_score("concept_auroc", nets("oblique", True), "concept_vectors", vector="filter") > 0.97


def test_correlated_nulls_look_important_unless_the_probe_set_is_clean() -> None:
    cases = nets("orthogonal", True)
    assert mean_score("correlated_null_gap", cases, "concept_vectors") > 0.1
    assert abs(mean_score("correlated_null_gap", cases, "concept_vectors", independent=True)) < 0.06
    assert mean_score("correlated_null_gap", cases, "concept_vectors", statistic="tcav") > 0.3


def test_the_significance_test_drops_random_directions_and_nulls() -> None:
    cases = nets("orthogonal", False)
    assert mean_score("concept_power", cases, "concept_vectors", vector="random", test=True) < 0.1
    assert mean_score("concept_false_positives", cases, "concept_vectors", vector="filter", test=True) < 0.1
    assert mean_score("concept_power", cases, "concept_vectors", vector="filter", test=True) > 0.8
    assert mean_score("concept_false_positives", cases, "concept_vectors", vector="filter") == 1


@pytest.mark.parametrize("vector", ["mean difference", "filter", "pattern", "logistic", "random"])
def test_runs_and_draws(vector: VectorMethod) -> None:
    case = nets("orthogonal", False)[0]
    first, again, other = (xb.explain_case("concept_vectors", case, seed=s, vector=vector) for s in (1, 1, 2))
    assert first.queries == 3, "one forward and one backward pass"
    assert first.tensors["values"].equal(again.tensors["values"])
    assert not first.tensors["values"].equal(other.tensors["values"])
    assert xb.explain_case("concept_frequency", case).queries == 0


def test_scores_by_hand() -> None:
    case = nets("orthogonal", False)[0]
    effects = case.truth.tensors["values"]
    used = case.hidden["used"]
    assert scores("concept_sign", (case,), [-effects]) == [0]
    assert scores("concept_sign", (case,), [torch.zeros(8)]) == [0.5]
    assert scores("concept_spearman", (case,), [-effects]) == [-1]
    assert scores("concept_spearman", (case,), [torch.ones(8)]) == [0]
    assert scores("concept_auroc", (case,), [-effects]) == [1], "by size"
    assert scores("concept_auroc", (case,), [torch.ones(8)]) == [0.5], "ties count one half"
    assert scores("concept_auroc", (case,), [1 - used]) == [0]
    assert scores("concept_auroc", (case,), [1e-12 * used + torch.eye(8)[0]])[0] in (0.625, 0.375), "rounding is none"
    assert scores("concept_power", (case,), [effects]) == [1]
    assert scores("concept_false_positives", (case,), [effects]) == [0]
    assert scores("concept_false_positives", (case,), [torch.where(used > 0, effects, torch.nan)]) == [0]
    assert scores(
        "correlated_null_gap", (case,), [2 * effects / effects.abs().max() + case.hidden["partner_used"]]
    ) == [0.5]
    assert scores("correlated_null_gap", (case,), [1 - used - case.hidden["partner_used"]]) == [-1]


def test_planted_direction_of_another_concept_is_told() -> None:
    for case in nets("orthogonal", False):
        found = xb.explain_case("true_concept_directions", case).tensors["values"]
        right, wrong = (scores("concept_spearman", (case,), [v])[0] for v in (found, found.roll(3)))
        assert right > 0.99
        assert wrong < 0.95


def test_names_do_not_depend_on_how_many_there_are() -> None:
    few, many = nets("oblique", True, 2), nets("oblique", True)
    for a, b in zip(few, many, strict=False):
        assert a.name == b.name
        assert a.given.inputs.equal(b.given.inputs)
        assert a.truth.tensors["values"].equal(b.truth.tensors["values"])


@pytest.mark.parametrize("method", ["filter", "pattern"])
def test_few_inputs_of_many_dimensions_have_the_vectors_of_the_definition(method: VectorMethod) -> None:
    rng = np.random.default_rng(3)
    positives, negatives = (torch.from_numpy(rng.standard_normal((9, 40)) + shift) for shift in (0.3, 0.0))
    within = (torch.cov(positives.T) + torch.cov(negatives.T)) / 2 + 0.01 * torch.eye(40).double()
    wanted = torch.linalg.solve(within, positives.mean(dim=0) - negatives.mean(dim=0))
    if method == "pattern":
        wanted = torch.cov(torch.cat([positives, negatives]).T) @ wanted
    found = concept_vector(positives, negatives, method, rng)
    torch.testing.assert_close(found, wanted / wanted.norm(), rtol=1e-9, atol=1e-9)
