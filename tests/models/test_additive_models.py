"""Additive models: their exact contributions against brute-force Shapley values, and explainers that recover them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core.additive import KnowsTerms, exact_contributions
from xaibench.core.features import infer_layout
from xaibench.core.truth import Truth
from xaibench.core.types import Array
from xaibench.datasets.additive import additive_table
from xaibench.models.additive import additive_terms


def brute_force(model: KnowsTerms, row: Array, baseline: Array) -> Array:
    """Shapley values by their definition, over all coalitions."""
    d = len(row)
    found = np.zeros(d)

    def value(coalition: tuple[int, ...]) -> float:
        mixed = baseline.copy()
        mixed[list(coalition)] = row[list(coalition)]
        return float(model.terms(mixed[None]).sum())

    for j in range(d):
        others = [i for i in range(d) if i != j]
        for size in range(d):
            weight = math.factorial(size) * math.factorial(d - size - 1) / math.factorial(d)
            for coalition in itertools.combinations(others, size):
                found[j] += weight * (value((*coalition, j)) - value(coalition))
    return found


@pytest.mark.parametrize("pairs", [0, 2])
def test_contributions_are_shapley_values_by_definition(pairs: int) -> None:
    data = additive_table(seed=3, features=5, pairs=pairs, train=200, test=4)
    model = additive_terms(data)
    assert isinstance(model, KnowsTerms)
    baselines = data.train_inputs[:3]
    found = exact_contributions(model, data.test_inputs, baselines)
    wanted = [np.mean([brute_force(model, row, z) for z in baselines], axis=0) for row in data.test_inputs]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    rise = model.terms(data.test_inputs).sum(axis=1) - model.terms(baselines).sum(axis=1).mean()
    np.testing.assert_allclose(found.sum(axis=1), rise, atol=1e-12)


def test_the_model_is_the_score_behind_the_labels() -> None:
    data = additive_table(seed=1, pairs=3)
    with torch.no_grad():
        logits = additive_terms(data)(torch.from_numpy(data.test_inputs)).numpy()
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1])
    accuracy = (logits.argmax(axis=1) == data.test_targets).mean()
    assert data.accuracy_floor is not None
    assert accuracy == pytest.approx(data.accuracy_floor + 0.04)
    assert accuracy > 0.75


def test_shap_recovers_the_contributions_and_ablation_only_those_of_single_columns() -> None:
    """Through the Python API, with the truth computed beside it."""
    for pairs, ablation_exact in ((0, True), (3, False)):
        data = additive_table(seed=1, pairs=pairs)
        model, x = additive_terms(data), data.test_inputs[:8]
        problem = xb.Problem(model, x, targets=np.ones(8, dtype=np.int64), background=data.train_inputs[:32])
        truth = exact_contributions(model, x, np.zeros((1, 12))) / 2  # type: ignore[arg-type]
        largest = np.abs(truth).max(axis=1)

        def error(name: str, **params: object) -> float:
            maps = np.asarray(problem.explain(name, masker="zero", **params))  # noqa: B023
            return float((np.abs(maps - truth).max(axis=1) / largest).max())  # noqa: B023

        assert error("kernel_shap", n_samples=512) < 1e-4
        assert (error("feature_ablation") < 1e-4) == ablation_exact
        if not ablation_exact:
            assert error("feature_ablation") > 0.01


def test_a_suite_measures_against_the_stated_baseline(tmp_path: object) -> None:
    suite = {
        "name": "little", "samples": 8, "background": 16, "explainers": ["feature_ablation"],
        "metrics": [{"name": "contribution_error", "grid": {"baseline": ["zero", "mean", "marginal"]}}],
        "problems": [{"dataset": "additive_table", "models": ["additive_terms"]}],
    }  # fmt: skip
    cells = xb.run(suite, store=tmp_path).results()
    assert set(cells["truth_kind"]) == {"model"}
    worst = {
        (row["explainer"], row["params"]): max(row["scores"]) for row in cells.to_dict("records") if len(row["scores"])
    }
    assert worst["feature_ablation", '{"baseline":"zero"}'] < 1e-4
    assert worst["feature_ablation", '{"baseline":"mean"}'] > 0.01
    assert worst["feature_ablation", '{"baseline":"marginal"}'] > 0.01
    assert worst["oracle", '{"baseline":"zero"}'] == 0
    assert worst["constant", '{"baseline":"zero"}'] > 0.5


def test_truth_of_some_samples_holds_their_contributions() -> None:
    truth = Truth("model", contributions={"zero": torch.arange(6.0).reshape(3, 2)})
    part = truth[1:]
    assert part.contributions is not None
    assert part.contributions["zero"].tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert infer_layout((2,), "table").feature_shape == (2,)


def test_what_cannot_be_additive_says_so() -> None:
    rows, labels = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
    data = xb.Data("table", rows, labels, rows, labels)
    with pytest.raises(xb.UsageError, match="needs facts that the data set does not provide"):
        additive_terms(data)
    with pytest.raises(xb.UsageError, match="4 pairs without a common column need 8 columns, not 7"):
        additive_table(seed=0, features=7, pairs=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "interactions"), [("breast_cancer", 0), ("breast_cancer", 10), ("german_credit", 0)]
)
def test_recovery_on_an_ebm(dataset: str, interactions: int, tmp_path: object) -> None:
    """The table of docs/suites/additive.md: who recovers an EBM's contributions, also with blocks of categories."""
    pytest.importorskip("interpret")
    suite = {
        "name": "ebm", "samples": 30,
        "explainers": [
            {"name": "kernel_shap", "params": {"n_samples": 2048}}, "shapley_sampling", "feature_ablation",
            {"name": "lime", "params": {"n_samples": 2048}}, "finite_difference", "rise", "tabular_lime",
        ],
        "metrics": ["contribution_error", "contribution_rank_correlation"],
        "problems": [
            {"dataset": dataset, "models": [{"name": "ebm", "params": {"interactions": interactions}}]}
        ],
    }  # fmt: skip
    cells = xb.run(suite, store=tmp_path).results()
    assert cells["gate_passed"].dropna().all()
    scored = cells[(cells["repeat"] == 0) & (cells["status"] == "ok")]
    table = scored.set_index(["metric", "explainer"])["scores"]
    worst = {name: float(np.max(scores)) for name, scores in table["contribution_error"].items()}
    print(worst, {n: float(np.mean(s)) for n, s in table["contribution_rank_correlation"].items()})  # noqa: T201
    assert worst["kernel_shap"] < 1e-4
    assert (worst["feature_ablation"] < 1e-4) == (interactions == 0)
    if interactions:
        assert worst["feature_ablation"] > 0.01
    else:
        assert worst["shapley_sampling"] < 1e-4
        assert worst["lime"] < 0.01
    assert worst.get("finite_difference", 1.0) > 0.5  # unsupported where features are categories
    assert worst["random"] > 0.5
