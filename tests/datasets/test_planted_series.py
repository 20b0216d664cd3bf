"""Shapes planted into series: what the data say, and checks that tell a right model from wrong ones."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.errors import DataError
from xaibench.core.predictor import CallablePredictor
from xaibench.datasets.planted_series import PLANTED_CLASSES, planted_series
from xaibench.datasets.series_backgrounds import read_ts, series_backgrounds


@functools.cache
def made() -> Data:
    return planted_series(seed=3, n_train=60, n_test=90)


def shape_of(label: int, length: int) -> np.ndarray:
    """The planted shape, written out."""
    share = (np.arange(length) + 0.5) / length
    found: np.ndarray = {0: np.sin(np.pi * share) ** 2, 1: -(np.sin(np.pi * share) ** 2), 2: np.sin(2 * np.pi * share)}[
        label
    ]
    return found


def test_a_series_is_a_background_and_one_shape_at_its_mask() -> None:
    data = made()
    erased = next(check for check in data.interventions if check.name.startswith("shape erased"))
    assert data.test_mask is not None
    for row, background, mask, label in zip(
        data.test_inputs, erased.inputs, data.test_mask, data.test_targets, strict=True
    ):
        at = np.flatnonzero(mask)
        assert np.array_equal(at, np.arange(at[0], at[0] + len(at)))
        assert 12 <= len(at) <= 17
        np.testing.assert_allclose(row[~mask], background[~mask])
        np.testing.assert_allclose((row - background)[mask], shape_of(int(label), len(at)), atol=1e-5)
    assert (np.bincount(data.test_targets) == 30).all()
    assert data.truth_kind == "data"
    assert data.class_names == PLANTED_CLASSES


def test_checks_change_what_they_say_and_nothing_else() -> None:
    data = made()
    by_name = {check.name: check for check in data.interventions}
    mask, erased = data.test_mask, by_name["shape erased (data)"].inputs
    exchanged, moved, other = (by_name[n] for n in ("shape exchanged", "shape moved", "other background"))
    assert (exchanged.targets != data.test_targets).all()
    np.testing.assert_array_equal(exchanged.inputs[~mask], data.test_inputs[~mask])
    for i in range(len(mask)):
        own = (exchanged.inputs - erased)[i, mask[i]]
        np.testing.assert_allclose(own, shape_of(int(exchanged.targets[i]), len(own)), atol=1e-5)
        size = np.abs((moved.inputs - erased)[i])
        np.testing.assert_allclose(np.sort(size)[-5:], np.sort(np.abs((data.test_inputs - erased)[i]))[-5:], atol=1e-5)
    assert np.abs(other.inputs - data.test_inputs)[~mask].mean() > 0.1
    assert np.corrcoef((other.inputs - data.test_inputs).ravel(), mask.ravel())[0, 1] < 0.1


def matched(rows: np.ndarray) -> np.ndarray:
    """Least squares with each shape at each place, on second differences: a model that reads the planted part alone."""
    bent = np.diff(rows, 2, axis=1)
    scores = []
    for label in range(3):
        kernels = [np.diff(np.pad(shape_of(label, length), 1), 2) for length in range(12, 18)]
        fits = [[(np.correlate(r, k, "valid") / (k @ k) ** 0.5).max() for r in bent] for k in kernels]
        scores.append(np.max(fits, axis=0))
    found: np.ndarray = np.eye(3)[np.argmax(scores, axis=0)]
    return found


def test_a_model_of_the_shapes_passes_and_one_of_the_level_does_not() -> None:
    data = planted_series(seed=3, n_train=30, n_test=90, noise=0.0)
    gates = {g.name: g.value for g in measure_gates(data, CallablePredictor(matched, "probability"), 1.0).gates}
    assert min(gates[f"accuracy, {n}"] for n in ("shape exchanged", "shape moved", "other background")) > 0.9
    assert gates["accuracy, shape erased (data)"] < 0.5
    level = CallablePredictor(lambda a: np.eye(3)[(a.mean(axis=1) > 0).astype(int)], "probability")
    assert not all(g.passed for g in measure_gates(data, level, 1.0).gates)


def test_training_and_test_backgrounds_are_different_series() -> None:
    train, test = series_backgrounds("sines")
    assert not (train[:, None] == test[None]).all(axis=2).any()
    np.testing.assert_allclose(train.std(axis=1), 1)


def test_the_ts_format_is_read_or_refused_in_one_sentence() -> None:
    assert read_ts("# text\n@data\n1,2,3:1\n4,5,6:2\n").tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(DataError, match="not a univariate series"):
        read_ts("@data\n1,2:3,4:1\n")
    with pytest.raises(DataError, match="different lengths"):
        read_ts("@data\n1,2:1\n1,2,3:1\n")


def test_real_series_must_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    series_backgrounds.cache_clear()
    with pytest.raises(DataError, match="'gunpoint' is not in the cache") as caught:
        planted_series(seed=0, background="gunpoint")
    assert caught.value.hint == "run `xaibench data fetch gunpoint`"
