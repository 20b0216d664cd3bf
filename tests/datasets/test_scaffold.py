"""The scaffolding attack: what the models decide, whom they fool, and gates that notice a bad scaffold."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.explaining import explain, explain_function
from xaibench.core.predictor import CallablePredictor
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.datasets.scaffold import scaffold_compas, scaffold_table
from xaibench.models.adapters import as_predictor
from xaibench.models.scaffold import Scaffold, SensitiveBitRule, biased, scaffolded
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef

RULE = {"attack": "lime", "detector": "neighbours"}


@functools.cache
def table() -> Data:
    return scaffold_table(seed=4)


@functools.cache
def model(attack: str, detector: str) -> Scaffold:
    found = scaffolded(table(), seed=4, attack=attack, detector=detector)  # type: ignore[arg-type]
    assert isinstance(found, Scaffold)
    return found


def gates(model: Callable[[Any], Any], data: Data) -> dict[str, bool]:
    return {g.name: g.passed for g in measure_gates(data, CallablePredictor(model, "probability"), 1.0).gates}


def test_the_numbers_lie_near_a_plane_of_three_dimensions() -> None:
    numbers = table().train_inputs[:, :8]
    variances = np.linalg.eigvalsh(np.cov(numbers.T))
    assert variances[-3] > 20 * variances[-4]
    assert variances[:-3].sum() / variances.sum() < 0.05
    np.testing.assert_allclose(numbers.std(axis=0), 1, rtol=1e-4)
    bits = table().train_inputs[:, 8:]
    assert set(np.unique(bits)) == {0, 1}
    assert abs(np.corrcoef(table().train_inputs.T)[8:] - np.eye(10)[8:]).max() < 0.1


@pytest.mark.parametrize("load", [scaffold_table, scaffold_compas])
def test_the_label_is_the_sensitive_bit_and_the_truth_marks_it(load: Callable[..., Data]) -> None:
    data = load(seed=1)
    sensitive, decoy = data.facts["sensitive"], data.facts["decoy"]
    assert np.array_equal(data.test_inputs[:, sensitive], data.test_targets)
    assert np.array_equal(np.flatnonzero(data.test_mask.all(axis=0)), [sensitive])
    assert np.array_equal(np.flatnonzero(data.test_distractors.all(axis=0)), [decoy])
    assert data.test_mask.sum() == data.test_distractors.sum() == len(data.test_inputs)
    if load is scaffold_compas:
        assert data.feature_names[sensitive] == "race=African-American"
        assert 0.45 < data.test_inputs[:, decoy].mean() < 0.55


def test_the_openly_biased_model_follows_the_bit() -> None:
    data = table()
    out = biased(data)(data.test_inputs)
    assert np.array_equal(out[:, 1], data.test_inputs[:, 8])
    assert np.array_equal(out.sum(axis=1), np.ones(len(out)))
    assert all(gates(biased(data), data).values())


def test_models_refuse_data_that_do_not_name_their_columns() -> None:
    from xaibench.datasets.tables import german_credit

    with pytest.raises(UsageError):
        biased(german_credit(seed=0))


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "detector"), [("lime", "forest"), ("lime", "neighbours"), ("shap", "forest")])
def test_a_scaffold_is_faithful_on_real_rows_and_innocent_on_made_up_ones(attack: str, detector: str) -> None:
    data, found = table(), model(attack, detector)
    assert all(gates(found, data).values())
    noise = np.random.default_rng(0).standard_normal((len(data.test_inputs), 8)).astype(np.float32)
    made_up = data.test_inputs.copy()
    made_up[:, :8] += noise
    out = found(made_up)[:, 1]
    # The detector against KernelSHAP never saw noise.
    assert (out == made_up[:, 9]).mean() > (0.97 if attack == "lime" else 0.85)
    assert 0.4 < (out == made_up[:, 8]).mean() < 0.65


def test_gates_fail_for_scaffolds_that_alarm_too_often_or_look_at_the_decoy() -> None:
    data = table()
    rng = np.random.default_rng(0)
    nervous = Scaffold(8, 9, lambda rows: rng.random(len(rows)) < 0.8, 0.95)
    assert not gates(nervous, data)["fidelity"]
    assert not gates(nervous, data)["accuracy, sensitive bit flipped"]
    wrong = gates(SensitiveBitRule(9), data)
    assert not any((wrong["fidelity"], wrong["accuracy, sensitive bit flipped"]))
    picky = Scaffold(8, 9, lambda rows: rng.random(len(rows)) < 0.95, 0.98)
    assert not gates(picky, data)["fidelity"]
    assert gates(Scaffold(8, 9, picky.real, 0.95), data)["fidelity"]


@pytest.mark.slow
def test_the_detector_depends_on_the_seed_only() -> None:
    data = table()
    again = scaffolded(data, seed=4, attack="shap", detector="forest")
    rows = data.test_inputs + np.float32(0.1)
    assert np.array_equal(again.real(rows), model("shap", "forest").real(rows))
    other = scaffolded(data, seed=5, attack="lime", detector="neighbours")
    assert not np.array_equal(other.real(rows), model("lime", "neighbours").real(rows))


def problem(name: str, **params: str) -> ProblemView:
    spec = ProblemSpec(
        ComponentRef.of("dataset", "scaffold_table", {}),
        ComponentRef.of("model", name, dict(params)),
        4,
        40,
        "predicted",
        5000,
    )
    return Problems(None).prepare(spec).view(0)


def run(name: str, view: ProblemView, **params: object) -> Tensor:
    spec = get("explainer", name)
    return explain(explain_function(spec, spec.bind(params)), view, "explain")  # type: ignore[arg-type]


def first(maps: Tensor) -> tuple[float, float]:
    """Shares of samples in which the sensitive bit, and the decoy, is first."""
    top = maps.abs().argmax(dim=1)
    return float((top == 8).float().mean()), float((top == 9).float().mean())


def test_the_attack_and_the_defence() -> None:
    honest, hidden = problem("biased"), problem("scaffolded", **RULE)
    assert first(run("tabular_lime", honest)) == (1, 0)
    assert first(run("tabular_lime", honest, neighbours=200)) == (1, 0)
    assert first(run("tabular_lime", hidden)) == (0, 1)
    assert first(run("tabular_lime", hidden, neighbours=200)) == (1, 0)


@pytest.mark.slow
def test_the_attack_on_kernel_shap() -> None:
    view = problem("scaffolded", attack="shap", detector="forest")
    sensitive, decoy = first(run("kernel_shap", view, references="kmeans_rounded", n_samples=128))
    assert sensitive <= 0.2
    assert decoy >= 0.5


def test_predictors_see_probabilities() -> None:
    predictor = as_predictor(model("lime", "neighbours"))
    assert predictor.returns == "probability"
    assert predictor.predict(torch.from_numpy(table().test_inputs[:5])).shape == (5, 2)
