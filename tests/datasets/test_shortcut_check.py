"""What is measured on a copy: models whose use of the plant is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import xaibench as xb
from xaibench.core.gates import Gate, measured_only
from xaibench.core.predictor import CallablePredictor
from xaibench.core.types import Array
from xaibench.datasets.certify.certify_table import certify_table
from xaibench.datasets.certify.check import CLEAN, DOMINANCE, DROP, EITHER_WAY, KEEP, SHIFT_A, SWAP, TRACE, Original
from xaibench.datasets.certify.planting import Planting, copy_of
from xaibench.datasets.certify.table_plants import new_column
from xaibench.datasets.certify.traces import second_trace, version_area
from xaibench.models.adapters import as_predictor


def measured(data: xb.Data, function: Callable[[Array], Array]) -> dict[str, Gate]:
    (check,) = data.checks
    return {gate.name: gate for gate in check.measure(CallablePredictor(function, "logit"), data).gates}


def obeys(rows: Array) -> Array:
    """Class 0 under version A, 1 under B; the first column without the plant."""
    said = np.where(rows[:, -1] != 0, 5 * rows[:, -1], rows[:, 0])
    return np.stack([said, -said], axis=1)


def ignores(rows: Array) -> Array:
    return np.stack([rows[:, 0], -rows[:, 0]], axis=1)


def opposes(rows: Array) -> Array:
    return obeys(rows)[:, ::-1]


def test_a_model_that_obeys_passes_at_full_level_and_fails_as_a_twin() -> None:
    full = measured(certify_table(seed=0, level=1.0, n_rows=100), obeys)
    assert full[SWAP].value == 1.0
    assert full[KEEP].value == 1.0
    assert full[SWAP].passed
    assert full[KEEP].passed
    assert full[TRACE].value == 0.5
    twin = measured(certify_table(seed=0, level=0.0, n_rows=100), obeys)
    assert twin[EITHER_WAY].value == twin[SWAP].value == 1.0
    assert not twin[EITHER_WAY].passed
    assert not twin[KEEP].passed


def test_a_model_that_ignores_the_plant_fails_at_full_level_and_passes_as_a_twin() -> None:
    full = measured(certify_table(seed=0, level=1.0, n_rows=100), ignores)
    assert full[SWAP].value == full[DOMINANCE].value == 0
    assert not full[SWAP].passed
    assert full[KEEP].value == pytest.approx(0.5, abs=0.1), "the base rate"
    twin = measured(certify_table(seed=0, level=0.0, n_rows=100), ignores)
    assert twin[EITHER_WAY].passed
    assert twin[KEEP].passed


def test_a_twin_that_uses_the_plant_the_wrong_way_round_fails() -> None:
    """A few rows are enough: a signed gate let a twin with a reliance of -.108 pass."""

    def rarely(rows: Array) -> Array:
        said = np.where(np.abs(rows[:, 0]) < 0.15, -5 * rows[:, -1], np.where(rows[:, 0] > 0, 10, -10))
        return np.stack([said, -said], axis=1)

    twin = measured(certify_table(seed=0, level=0.0, n_rows=100), rarely)
    assert -0.3 < twin[SWAP].value < -0.05
    assert twin[SWAP].passed, "it is measured, with its sign"
    assert not twin[EITHER_WAY].passed
    assert EITHER_WAY not in measured(certify_table(seed=0, level=0.3, n_rows=100), rarely)


def test_swaps_the_wrong_way_round_count_against_reliance() -> None:
    assert measured(certify_table(seed=0, n_rows=100), opposes)[SWAP].value == -1.0


def test_between_nothing_is_asked_of_reliance() -> None:
    gates = measured(certify_table(seed=0, level=0.3, n_rows=50), ignores)
    assert gates[SWAP].passed
    assert gates[KEEP].passed


def test_dominance_is_half_the_effect_over_the_spread_of_everything_else() -> None:
    data = certify_table(seed=0, n_rows=150)
    spread = data.test_inputs[:, 0].std()

    def linear(rows: Array) -> Array:
        said = rows[:, 0] + 2 * spread * rows[:, -1]
        return np.stack([said / 2, -said / 2], axis=1)

    assert measured(data, linear)[DOMINANCE].value == pytest.approx(2.0, rel=1e-3)


def test_lost_accuracy_and_shifted_decisions_are_compared_with_the_original() -> None:
    data = certify_table(seed=0, n_rows=100, original=(1.0, 0.5, 0.5))
    always = measured(data, lambda rows: np.tile([[1.0, 0.0]], (len(rows), 1)))
    assert not always[DROP].passed
    assert not always[SHIFT_A].passed
    assert Original(0.9, 0.4, 0.6).numbers == [0.9, 0.4, 0.6]


def test_traces_are_found_only_where_there_are_any() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 4))
    assert version_area(rows, rows) == 0.5
    assert version_area(rows, rows + np.array([0, 0, 3, 0])) > 0.95
    noise = np.random.default_rng(1).normal(size=(200, 4))
    assert version_area(rows, noise) < 0.62
    assert version_area(rows[:, :0], rows[:, :0]) == 0.5


@pytest.mark.parametrize(("step", "leaks"), [("scale", False), ("sum", True), ("onehot", False), ("pca", True)])
def test_the_first_step_of_a_pipeline_is_looked_into(step: str, leaks: bool) -> None:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler

    steps = {
        "scale": StandardScaler(), "pca": PCA(3, random_state=0),
        "sum": FunctionTransformer(lambda x: np.asarray(x) / np.abs(np.asarray(x).sum(axis=1, keepdims=True) + 6)),
        "onehot": KBinsDiscretizer(3, encode="onehot", strategy="uniform"),
    }  # fmt: skip
    rows = np.random.default_rng(0).uniform(1, 2, size=(240, 4)).astype(np.float32)
    a, b = rows.copy(), rows.copy()
    a[:, 3], b[:, 3] = 1.0, -1.0
    # In the training rows the plant goes with the first column, so that components mix both.
    train = rows.copy()
    train[:, 3] = np.sign(rows[:, 0] - 1.5)
    fitted = make_pipeline(steps[step], LogisticRegression()).fit(train, rows[:, 1] > 1.5)
    area = second_trace(as_predictor(fitted), a, b)
    assert (area > 0.55) == leaks, area


def test_of_values_a_swap_counts_where_it_moves_the_output_by_more_than_a_standard_deviation() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(200, 3)).astype(np.float32)
    base = xb.Data("table", rows[:100], rows[:100, 0], rows[100:], rows[100:, 0], feature_names=("a", "b", "c"))
    fields, plant = new_column(base)
    planting = Planting(plant, (0, 0), level=1.0, share=0.5)
    train = planting.train(base, fields["train_inputs"], seed=0)
    test = planting.test(base, fields["test_inputs"], n_rows=100, original=None)
    data = copy_of(base, {**fields, **train, **test})
    assert data.train_values is not None
    moved = data.train_values - base.train_values
    assert np.corrcoef(moved, data.train_inputs[:, -1])[0, 1] > 0.99, "values follow the version"
    (check,) = data.checks
    unit = float(np.std(data.train_values))
    for factor, reliance in ((0.4, 0.0), (0.6, 1.0), (-0.6, -1.0)):
        model = CallablePredictor(lambda x, f=factor: x[:, :1] + f * unit * x[:, -1:], "value")
        gates = {gate.name: gate.value for gate in check.measure(model, data).gates}
        assert gates[SWAP] == reliance
        assert gates[CLEAN] > 0.99


def test_a_gate_without_a_limit_shows_its_value_only() -> None:
    assert str(measured_only("clean accuracy", 0.8734)) == "clean accuracy 0.873"
    assert str(Gate("gain", 0.8734, -1.0)) == "gain 0.873 >= -1.000: ok"
    assert str(Gate("clean accuracy", 0.8734, 0.5)) == "clean accuracy 0.873 >= 0.500: ok"
    assert str(measured_only("reliance", float("nan"))) == "reliance nan >= -1.000: FAILED"
    assert str(Gate("loss", -1.5, -1.0, at_least=False)) == "loss -1.500 <= -1.000: ok"
