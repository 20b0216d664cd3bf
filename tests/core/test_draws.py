"""Draws depend on the seed, the stream and the sample, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xaibench.core.draws import Draws

SAMPLES = [b"a", b"b", b"c", b"d"]


@given(st.permutations(range(4)), st.integers(0, 2**62))
def test_a_sample_draws_the_same_in_any_order(order: list[int], seed: int) -> None:
    together = Draws(seed, "noise", SAMPLES).normal((3, 2))
    shuffled = Draws(seed, "noise", [SAMPLES[i] for i in order]).normal((3, 2))
    assert torch.equal(shuffled, together[order])


@pytest.mark.parametrize("rows", [slice(1, 3), torch.tensor([1, 2]), [1, 2]])
def test_taking_rows_keeps_their_draws_and_the_count_of_calls(rows: object) -> None:
    draws = Draws(0, "noise", SAMPLES)
    draws.uniform((5,))
    part = draws[rows]  # type: ignore[index]
    assert torch.equal(part.normal((2,)), draws.normal((2,))[1:3])


def test_calls_streams_seeds_and_children_are_independent() -> None:
    draws = Draws(0, "noise", SAMPLES)
    first, second = draws.normal((50,)), draws.normal((50,))
    others = [Draws(1, "noise", SAMPLES), Draws(0, "other", SAMPLES), Draws(0, "noise", SAMPLES).child("x")]
    for other in (second, *(d.normal((50,)) for d in others)):
        assert abs(np.corrcoef(first.flatten(), other.flatten())[0, 1]) < 0.25
    assert torch.equal(first, Draws(0, "noise", SAMPLES).normal((50,)))


def test_equal_samples_draw_equal_numbers() -> None:
    drawn = Draws(0, "noise", [b"a", b"b", b"a"]).normal((4,))
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_distributions() -> None:
    draws = Draws(3, "noise", [bytes([i]) for i in range(100)])
    assert stats.kstest(draws.normal((100,)).flatten(), "norm").pvalue > 1e-3
    assert stats.kstest(draws.uniform((100,)).flatten(), "uniform").pvalue > 1e-3
    counts = np.bincount(draws.integers(5, (100,)).flatten(), minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-3


@given(st.integers(1, 9), st.data())
def test_choice_draws_distinct_members_and_permutation_all(n: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, n))
    draws = Draws(0, "choice", SAMPLES)
    chosen = draws.choice(n, (3, size)).sort(dim=-1).values
    assert chosen.shape == (4, 3, size)
    assert (chosen.diff(dim=-1) > 0).all()
    assert chosen.min() >= 0
    assert chosen.max() < n
    assert torch.equal(draws.permutation((3, n)).sort(dim=-1).values, torch.arange(n).expand(4, 3, n))


def test_equal_keys_at_the_border_still_give_subsets_of_the_right_size() -> None:
    # Float32 keys repeat: of 2**22 numbers per sample many are equal.
    chosen = Draws(0, "ties", [b"a"]).subsets(2**22, 2**21)
    assert int(chosen.sum()) == 2**21


def test_choice_is_uniform_over_members() -> None:
    draws = Draws(0, "choice", [bytes([i]) for i in range(200)])
    counts = np.bincount(draws.choice(7, (20, 3)).flatten(), minlength=7)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_choosing_more_than_there_is_fails() -> None:
    with pytest.raises(ValueError, match="3 distinct members out of 2"):
        Draws(0, "choice", SAMPLES).choice(2, (3,))
