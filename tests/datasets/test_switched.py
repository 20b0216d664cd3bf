"""A switch and the two columns that it chooses are what a sample's class is made of."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest

from xaibench.core.checks import accuracy
from xaibench.core.data import Data
from xaibench.core.predictor import CallablePredictor, Predictor
from xaibench.datasets.switched import switched_regimes
from xaibench.suite import load as load_suite

NO_REFERENCE = {"gradient", "saliency", "smoothgrad", "vargrad", "guided_backprop"}


@functools.cache
def made(**params: float) -> Data:
    return switched_regimes(seed=3, **params)  # type: ignore[arg-type]


def label(rows: np.ndarray, regime: np.ndarray) -> np.ndarray:
    """The class, written out."""
    found = [row[1 + 2 * r] > row[2 + 2 * r] for row, r in zip(rows, regime, strict=True)]
    labels: np.ndarray = np.array(found, dtype=np.int64)
    return labels


def exact(regimes: int = 3, offset: float = 1.0) -> Predictor:
    """The rule itself as a model."""
    edges = {2: [0.0], 3: [-0.4307273, 0.4307273]}[regimes]

    def predict(rows: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = np.eye(2)[label(rows, (rows[:, :1] - offset > edges).sum(axis=1))]
        return chosen

    return CallablePredictor(predict, "probability")


def test_the_rule_explains_every_label_and_the_mask_names_its_columns() -> None:
    data = made()
    for inputs, targets, mask in (
        (data.train_inputs, data.train_targets, data.train_mask),
        (data.test_inputs, data.test_targets, data.test_mask),
    ):
        assert accuracy(exact(), inputs, targets) == 1
        assert mask is not None
        assert mask[:, 0].all()
        assert (mask.sum(axis=1) == 3).all()
        assert not mask[:, 7:].any()
        first = mask[:, 1:7].argmax(axis=1)
        assert np.array_equal(targets, label(inputs, first // 2))
        assert np.bincount(first, minlength=5)[[0, 2, 4]].min() > 0.3 * len(mask)
    assert data.feature_names[:3] == ("switch", "regime 0 first", "regime 0 second")


def test_columns_vary_together_except_the_switch() -> None:
    for correlation, offset in ((0.7, 1.0), (0.0, 0.0)):
        rows = made(correlation=correlation, offset=offset).train_inputs
        expected = np.full((11, 11), correlation)
        expected[0] = expected[:, 0] = 0
        np.fill_diagonal(expected, 1)
        np.testing.assert_allclose(np.corrcoef(rows.T), expected, atol=0.05)
        np.testing.assert_allclose(rows.mean(axis=0), offset, atol=0.05)


@pytest.mark.parametrize("params", [{}, {"regimes": 2, "idle": 0}])
def test_the_causal_checks_hold_for_the_rule(params: dict[str, int]) -> None:
    data = made(**params)
    others, deciding, switch = data.interventions
    model = exact(params.get("regimes", 3))
    assert data.test_mask is not None
    assert accuracy(model, others.inputs, others.targets) == 1
    assert np.array_equal(others.targets, data.test_targets)
    assert accuracy(model, deciding.inputs, deciding.targets) == accuracy(model, switch.inputs, switch.targets) == 1
    # What follows is the new class; the old one stays by chance: where the old regime comes back, or in half of all.
    chance = 1 / params.get("regimes", 3)
    for check, left in ((deciding, 0.5), (switch, chance + (1 - chance) / 2)):
        assert accuracy(model, check.inputs, data.test_targets) == pytest.approx(left, abs=0.06)
        assert (check.targets == data.test_targets).mean() == pytest.approx(left, abs=0.06)
    for check, gone in ((others, ~data.test_mask), (deciding, data.test_mask & (np.arange(data.input_shape[0]) > 0))):
        assert np.array_equal(check.inputs[~gone], data.test_inputs[~gone])
        assert (check.inputs[gone] != data.test_inputs[gone]).mean() > 0.999
        # On the data: whatever was redrawn, columns vary together as they did.
        np.testing.assert_allclose(np.corrcoef(check.inputs.T), np.corrcoef(data.train_inputs.T), atol=0.15)


def test_a_model_that_knows_samples_by_columns_that_say_nothing_fails_the_checks() -> None:
    data = made()
    known = dict(zip(data.test_inputs[:, 9].tolist(), data.test_targets, strict=True))

    def predict(rows: np.ndarray) -> np.ndarray:
        return np.eye(2)[[known.get(value, 0) for value in rows[:, 9].tolist()]]

    others, deciding, switch = data.interventions
    cheat = CallablePredictor(predict, "probability")
    assert accuracy(cheat, data.test_inputs, data.test_targets) == 1
    assert accuracy(cheat, others.inputs, others.targets) < 1 - (others.max_drop or 1)
    for check in (deciding, switch):
        assert accuracy(cheat, check.inputs, check.targets) < (check.at_least or 0)


def test_claims_leave_controls_out_and_differ_in_the_masker_only() -> None:
    suite = load_suite("selection")
    names = {entry.name for entry in suite.explainers}
    assert len(suite.problem_seeds) >= 6
    for claim in suite.claims:
        assert claim.right is not None
        wanted = names if claim.id.startswith("selection.imputation") else names & NO_REFERENCE
        assert set(claim.left.explainer) == set(claim.right.explainer) == wanted
        assert claim.left.metric == claim.right.metric
        maskers = [json.dumps(side.params) for side in (claim.left, claim.right)]
        assert maskers == ['{"masker": "conditional"}', '{"masker": "zero"}']
