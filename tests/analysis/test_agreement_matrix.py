"""Pairs of explainers as a matrix: symmetric, with the most and the least alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from xaibench.analysis.agreement_matrix import agreement_matrices

A, B, C = ("a", "{}"), ("b", "{}"), ("c", '{"n":1}')


def pairs(values: list[float], measure: str = "feature") -> pd.DataFrame:
    rows = [(*left, *right) for left, right in ((A, B), (A, C), (B, C))]
    frame = pd.DataFrame(rows, columns=["explainer_a", "params_a", "explainer_b", "params_b"])
    return frame.assign(
        suite="s", dataset="d", model="m", selection="first", measure=measure, k=2, features=6, value=values,
        expected=[0.2, 0.3, 0.4],
    )  # fmt: skip


def test_a_matrix_by_hand() -> None:
    frame = pd.concat([pairs([0.5, 0.9, 0.1]), pairs([0.0, 0.0, 0.0], "rank")], ignore_index=True)
    (found,) = agreement_matrices(frame, ("feature",))
    assert list(found.values.index) == list(found.values.columns) == [A, B, C]
    nan = np.nan
    np.testing.assert_array_equal(found.values.to_numpy(), [[nan, 0.5, 0.9], [0.5, nan, 0.1], [0.9, 0.1, nan]])
    assert found.expected == pytest.approx(0.3)
    assert found.most == (A, C, 0.9)
    assert found.least == (B, C, 0.1)
    assert (found.dataset, found.model, found.measure, found.k, found.n_features) == ("d", "m", "feature", 2, 6)


def test_of_equal_pairs_the_first_is_least_and_the_last_is_most() -> None:
    (found,) = agreement_matrices(pairs([0.5, 0.5, 0.5]), ("feature",))
    assert found.least == (A, B, 0.5)
    assert found.most == (B, C, 0.5)


def test_pairs_without_a_value_are_neither() -> None:
    (found,) = agreement_matrices(pairs([np.nan] * 3), ("feature",))
    assert found.most is None
    assert found.least is None
    assert found.values.isna().all(axis=None)
