"""Ranks and correlations against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from xaibench.metrics.maps.similarity import is_constant, pearson, ranks, similarity_to, spearman

few = st.integers(-3, 3).map(float)  # many ties


@settings(max_examples=60)
@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=few))
def test_ranks_are_scipys(values: np.ndarray) -> None:
    np.testing.assert_array_equal(ranks(torch.from_numpy(values)), stats.rankdata(values, axis=1) - 1)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(2, 12).flatmap(lambda n: st.tuples(*[arrays(np.float32, (2, n), elements=few)] * 2)))
def test_correlations_are_scipys_and_undefined_where_constant(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    tensors = torch.from_numpy(a), torch.from_numpy(b)
    for ours, theirs in ((pearson, stats.pearsonr), (spearman, stats.spearmanr)):
        for row, value in enumerate(ours(*tensors).tolist()):
            if len(set(a[row])) == 1 or len(set(b[row])) == 1:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(theirs(a[row].astype(float), b[row].astype(float))[0], abs=1e-12)


def test_noise_in_the_last_bit_counts_as_constant() -> None:
    noisy = torch.tensor([[1.0, 1.0 + 2**-23, 1.0], [1.0, 1.001, 1.0]])
    assert is_constant(noisy).tolist() == [True, False]
    other = torch.tensor([[1.0, 2.0, 3.0]]).expand(2, 3)
    assert torch.isnan(pearson(noisy, other)).tolist() == [True, False]
    assert torch.isnan(spearman(noisy, other)).tolist() == [True, False]


def test_abs_spearman_ignores_the_sign() -> None:
    a = torch.tensor([[1.0, -2.0, 3.0, -4.0]])
    assert similarity_to(a, "abs_spearman")(a.abs()).item() == pytest.approx(1)
    assert spearman(a, a.abs()).item() < 0.5


@pytest.mark.parametrize("similarity", ["spearman", "abs_spearman", "pearson"])
def test_a_map_that_is_not_finite_is_similar_to_nothing(similarity: str) -> None:
    whole = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).expand(3, 4)
    broken = torch.tensor([[1.0, torch.nan, 3.0, 4.0], [1.0, 2.0, torch.inf, 4.0], [torch.nan] * 4])
    for a, b in ((whole, broken), (broken, whole), (broken, broken)):
        assert torch.isnan(similarity_to(a, similarity)(b)).all()  # type: ignore[arg-type]
