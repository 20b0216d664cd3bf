from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xaibench.datasets.splits import generator, split


@given(st.integers(0, 10_000), st.integers(20, 200), st.integers(1, 40), st.floats(0.1, 0.6))
def test_a_split_is_a_partition_in_which_identical_rows_stay_together(seed: int, n: int, distinct: int, share: float):
    rng = np.random.default_rng(seed)
    rows = rng.integers(distinct, size=(n, 1)).astype(np.float64)
    labels = (rows[:, 0] > distinct / 2).astype(np.int64)
    train, test = split(rows, labels, share, rng)
    assert sorted([*train, *test]) == list(range(n))
    assert not set(rows[train, 0]) & set(rows[test, 0])
    for label in (0, 1):
        wanted = round(share * (labels == label).sum())
        largest = np.bincount(rows[labels == label, 0].astype(int)).max() if (labels == label).any() else 0
        assert wanted - largest <= (labels[test] == label).sum() <= wanted


def test_distinct_rows_split_exactly_by_label():
    labels = np.repeat([0, 1], [80, 20])
    _, test = split(np.arange(100.0)[:, None], labels, 0.25, generator("test", 0))
    assert np.bincount(labels[test]).tolist() == [20, 5]


def test_generators_of_other_names_differ():
    assert generator("split", "a", 0).random() == generator("split", "a", 0).random()
    assert len({generator("split", name, seed).random() for name in "ab" for seed in (0, 1)}) == 4
