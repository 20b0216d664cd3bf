"""Training-data attribution against refitting, autograd, scipy and planted faults."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

import xaibench as xb
from xaibench.core.components import MetricSpec
from xaibench.core.programs.interpreting import score_programs
from xaibench.core.registry import get
from xaibench.functions.influence import generation, ridge
from xaibench.functions.influence.generation import TrainedRegression, influence_digits
from xaibench.functions.influence.ridge import Ridge


@cache
def small(seed: int = 0) -> tuple[xb.Case, ...]:
    return influence_digits(seed=seed, n=2, rows=120, tests=7)


def scored(name: str, answer: Any, case: xb.Case | None = None) -> float:
    spec = cast(MetricSpec, get("metric", name))
    ev = xb.CaseEvaluation((case or small()[0],), (answer,), seed=0, budget=0)
    return float(score_programs(spec, {}, ev)[0])


@pytest.mark.parametrize("penalty", [1e-2, 1.0, 50.0])
def test_leaving_one_out_is_what_fitting_without_the_row_gives_to_1e_10(penalty: float) -> None:
    (case,) = influence_digits(seed=3, n=1, rows=150, tests=5, penalty=penalty)
    found = xb.explain_case("leave_one_out_retraining", case)
    assert found.queries == 151
    assert (found.values - case.truth.values).abs().max() < 1e-10
    assert not case.failed_gates


def test_a_truth_without_the_leverage_fails_its_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge.Ridge, "leave_one_out", ridge.Ridge.influence)
    (case,) = influence_digits(seed=3, n=1, rows=150, tests=5)
    assert [gate.name for gate in case.failed_gates] == ["error of leave-one-out"]
    assert case.failed_gates[0].value > 1e-3


def test_the_regression_is_scikit_learns() -> None:
    from sklearn.linear_model import Ridge as Reference

    given = small()[0].given
    reference = Reference(alpha=given.penalty, fit_intercept=False, solver="cholesky")
    reference.fit(given.inputs.numpy(), given.targets.numpy())
    np.testing.assert_allclose(given.regression.fit().T.numpy(), reference.coef_, atol=1e-9)


def test_influence_functions_are_the_derivative_in_the_weight_of_a_row() -> None:
    given: TrainedRegression = small()[0].given
    weights = torch.ones(len(given.inputs), dtype=torch.float64, requires_grad=True)
    hessian = given.inputs.T @ (weights[:, None] * given.inputs) + given.penalty * torch.eye(65, dtype=torch.float64)
    fitted = torch.linalg.solve(hessian, given.inputs.T @ (weights[:, None] * given.targets))
    output = (given.test_inputs[0] * fitted[:, given.test_classes[0]]).sum()
    (slope,) = torch.autograd.grad(output, weights)
    found = xb.explain_case("influence_function", small()[0])
    assert torch.allclose(found.values[0], slope, atol=1e-12)


def test_gradient_products_are_those_of_autograd() -> None:
    given: TrainedRegression = small()[0].given
    fitted = given.regression.fit().requires_grad_()
    output = (given.test_inputs[2] * fitted[:, given.test_classes[2]]).sum()
    (of_output,) = torch.autograd.grad(output, fitted)
    loss = 0.5 * ((given.inputs[5] @ fitted - given.targets[5]) ** 2).sum()
    (of_loss,) = torch.autograd.grad(loss, fitted)
    dot = -(of_output * of_loss).sum()
    found = xb.explain_case("gradient_dot", small()[0]).values[2, 5]
    cosine = xb.explain_case("gradient_dot", small()[0], normalised=True).values[2, 5]
    assert found.item() == pytest.approx(dot.item(), rel=1e-10)
    assert cosine.item() == pytest.approx((dot / of_output.norm() / of_loss.norm()).item(), rel=1e-10)


def test_a_projection_to_all_dimensions_is_the_influence_function() -> None:
    whole = xb.explain_case("influence_function", small()[0]).values
    found = xb.explain_case("projected_influence", small()[0], dimensions=65, seed=4).values
    assert torch.allclose(found, whole, atol=1e-8)
    half = xb.explain_case("projected_influence", small()[0], dimensions=8, seed=4).values
    assert not torch.allclose(half, whole, atol=1e-3)


def test_placebos_never_fit_and_the_other_question_is_never_the_own_one() -> None:
    case = small()[0]
    for name in ("input_similarity", "label_similarity"):
        assert xb.explain_case(name, case).queries == 0
        changed = replace(case, given=replace(case.given, penalty=1e4))
        assert xb.explain_case(name, changed).values.equal(xb.explain_case(name, case).values)
    own = xb.explain_case("influence_function", case).values
    other = xb.explain_case("other_question", case).values
    assert not any(other[q].equal(own[q]) for q in range(len(own)))
    assert sorted(map(tuple, other.tolist())) == sorted(map(tuple, own.tolist()))


def test_scores_are_those_of_scipy() -> None:
    case = small()[0]
    answer = xb.explain_case("gradient_dot", case)
    truth = case.truth.values
    expected = np.mean([pearsonr(a, b).statistic for a, b in zip(answer.values, truth, strict=True)])
    assert scored("leave_one_out_correlation", answer) == pytest.approx(expected, rel=1e-6)
    subsets, outputs = case.hidden["subsets"].double(), case.hidden["outputs"]
    found = [spearmanr(subsets @ a, outputs[:, q]).statistic for q, a in enumerate(answer.values)]
    assert scored("linear_datamodelling_score", answer) == pytest.approx(np.mean(found), rel=1e-6)


def test_outputs_of_subsets_are_refitted() -> None:
    case = small()[1]
    given: TrainedRegression = case.given
    subset = case.hidden["subsets"][17]
    assert subset.sum() == 60
    fresh = Ridge(given.inputs[subset], given.targets[subset], given.penalty).fit()
    outputs = torch.stack([x @ fresh[:, c] for x, c in zip(given.test_inputs, given.test_classes, strict=True)])
    assert torch.allclose(outputs, case.hidden["outputs"][17], atol=1e-12)


@pytest.mark.parametrize("name", ["leave_one_out_correlation", "linear_datamodelling_score"])
def test_ties_have_no_credit_and_no_opinion_is_the_lowest(name: str) -> None:
    case = small()[0]
    for value in (0.0, 0.1, -1e12):
        assert scored(name, xb.Scores(torch.full(case.shape, value, dtype=torch.float64))) == 0
    gaps = case.truth.values.clone()
    gaps[:, :40] = torch.nan
    filled = torch.where(torch.isnan(gaps), gaps.nan_to_num(nan=torch.inf).amin(dim=1, keepdim=True), gaps)
    assert scored(name, xb.Scores(gaps)) == pytest.approx(scored(name, xb.Scores(filled)), rel=1e-6)
    silent = case.truth.values.clone()
    best = scored(name, xb.Scores(silent.clone()))
    silent[0] = torch.nan
    assert scored(name, xb.Scores(silent)) < best - 1 / len(silent)


@pytest.mark.parametrize("name", ["leave_one_out_correlation", "linear_datamodelling_score"])
def test_the_sign_of_an_effect_counts(name: str) -> None:
    case = small()[0]
    backwards = scored(name, xb.Scores(-case.truth.values))
    assert backwards == pytest.approx(-scored(name, case.truth), rel=1e-6)
    assert backwards < -0.5


def test_a_larger_set_begins_with_the_smaller_one_and_seeds_differ() -> None:
    more = influence_digits(seed=0, n=3, rows=120, tests=7)
    assert [c.truth.values.tolist() for c in more[:2]] == [c.truth.values.tolist() for c in small()]
    assert small(1)[0].units != small()[0].units


def test_names_say_image_and_label() -> None:
    from sklearn.datasets import load_digits

    case = small()[0]
    label, _, image = case.units[3].partition(" (image ")
    assert load_digits().target[int(image.rstrip(")"))] == int(label)
    assert len(case.hidden["subsets"]) == generation.N_SUBSETS
