from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xaibench.core.registry import get
from xaibench.datasets import tables


def test_one_hot_names_every_value_and_keeps_numbers():
    frame = pd.DataFrame({"n": [3, 1, 2], "s": ["b", "a", "c"], "two": ["no", "yes", "no"]})
    columns, names = tables.one_hot(frame)
    assert names == ("n", "s=a", "s=b", "s=c", "two=yes")
    assert columns.tolist() == [[3, 0, 1, 0, 0], [1, 1, 0, 0, 1], [2, 0, 0, 1, 0]]


def test_standardised_by_train_rows_only_and_leaves_zeros_and_ones():
    columns = np.array([[1.0, 0, 5], [3, 1, 5], [1, 1, 5], [3, 0, 5], [100, 1, 5]])
    data = tables.standardised(columns, np.array([0, 1, 0, 1, 0]), np.arange(4), np.array([4]))
    assert data.train_inputs[:, 0].tolist() == [-1, 1, -1, 1]
    assert data.test_inputs.tolist() == [[98, 1, 0]]
    assert data.test_rows.tolist() == [[100, 1, 5]]


@pytest.mark.parametrize("name", ["breast_cancer", "compas", "german_credit"])
def test_train_columns_are_standard_or_zero_and_one(name: str):
    data = get("dataset", name).function(seed=3)
    for column, feature in zip(data.train_inputs.T, data.feature_names, strict=True):
        if set(np.unique(column)) <= {0.0, 1.0}:
            continue
        assert abs(column.mean()) < 1e-4, feature
        assert abs(column.std() - 1) < 1e-4, feature


def test_raw_rows_are_the_numbers_of_the_file():
    data = get("dataset", "compas").function(seed=0)
    raw = dict(zip(data.feature_names, data.test_rows.T, strict=True))
    assert raw["age"].min() >= 18
    assert raw["age"].max() < 100
    assert np.array_equal(sum(raw[n] for n in raw if n.startswith("race=")), np.ones(len(data.test_rows)))


def test_adult_reads_what_was_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    row = "39, State-gov, 77516, Bachelors, 13, Never-married, Sales, Husband, White, {sex}, {gain}, 0, 40, Cuba, {y}\n"
    files = {
        "adult.data": row.format(sex="Male", gain=2174, y="<=50K") + row.format(sex="Female", gain=0, y=">50K")
        + row.format(sex="?", gain=9, y=">50K"),
        "adult.test": "|1x3 Cross validator\n" + row.format(sex="Male", gain=7, y=">50K."),
    }  # fmt: skip
    monkeypatch.setattr(tables, "read_fetched", lambda name, file: files[file].encode())
    data = get("dataset", "adult").function(seed=0)
    assert len(data.train_inputs) == 2
    assert sorted(data.train_targets) == [0, 1]
    assert data.test_targets.tolist() == [1]
    assert data.test_rows[0, data.feature_names.index("capital_gain")] == 7
    assert "fnlwgt" not in data.feature_names
