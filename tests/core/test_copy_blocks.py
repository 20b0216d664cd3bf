"""Blocks of samples x copies: they cover everything once, within their bounds."""

from __future__ import annotations

import pytest
import torch
from helpers.builders import TABLE, linear, make_inputs, make_view
from hypothesis import given
from hypothesis import strategies as st

from xaibench.core.copy_blocks import chunks, cut_copies, fitting, owners
from xaibench.explainers.engines import perturbed_copies
from xaibench.metrics.engines.perturbation import Block

COUNTS = st.integers(1, 30)


@given(n=COUNTS, m=COUNTS, samples=COUNTS, copies=COUNTS)
def test_every_copy_is_in_one_block_within_the_bounds(n: int, m: int, samples: int, copies: int) -> None:
    seen = torch.zeros(n, m, dtype=torch.int64)
    for rows, parts in cut_copies(n, m, samples_at_once=samples, copies_at_once=copies):
        assert rows.stop - rows.start <= samples
        for part in parts:
            assert part.stop - part.start <= copies
            seen[rows, part] += 1
    assert bool((seen == 1).all())


@given(n=COUNTS, m=COUNTS, samples=COUNTS, more=COUNTS, copies=COUNTS)
def test_the_copies_that_are_drawn_together_do_not_depend_on_the_samples(
    n: int, m: int, samples: int, more: int, copies: int
) -> None:
    first = [list(parts) for _, parts in cut_copies(n, m, samples_at_once=samples, copies_at_once=copies)]
    other = [list(parts) for _, parts in cut_copies(n + more, m, samples_at_once=more, copies_at_once=copies)]
    assert all(parts == first[0] for parts in first + other)


@given(budget=st.integers(0, 10**6), each=st.integers(0, 10**4))
def test_what_fits_stays_within_the_budget_but_is_never_nothing(budget: int, each: int) -> None:
    found = fitting(budget, each)
    assert found >= 1
    assert found == 1 or found * each <= budget
    assert (found + 1) * max(each, 1) > budget


def test_owners_are_in_the_order_of_flattened_copies() -> None:
    rows, device = slice(2, 5), torch.device("cpu")
    expected = torch.tensor([2, 2, 3, 3, 4, 4])
    assert torch.equal(owners(rows, 2, device), expected)
    view = make_view(linear(TABLE), make_inputs(TABLE, 5))
    assert torch.equal(Block(rows, slice(7, 9), view.draws("x"), device).index, expected)
    assert list(chunks(0, 3)) == []


@pytest.mark.parametrize(("budget", "shapes"), [(4 * 6 * 5, [(1, 5), (1, 2)]), (4 * 6 * 14, [(2, 7)]), (1, [(1, 1)])])
def test_copies_of_explainers_stay_within_their_memory(
    monkeypatch: pytest.MonkeyPatch, budget: int, shapes: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(perturbed_copies, "COPIES_BLOCK_BYTES", budget)
    view = make_view(linear(TABLE), make_inputs(TABLE, 4))
    found = {
        (rows.stop - rows.start, part.stop - part.start)
        for rows, parts in perturbed_copies.copy_blocks(view, 7)
        for part in parts
    }
    assert found == set(shapes)


@pytest.mark.parametrize(
    ("batch_size", "copies", "shapes"),
    [
        (1, 7, {(2, 7)}),  # two samples' copies stay within the block
        (28, 7, {(4, 7)}),  # a batch of the model is never split
        (10**6, 7, {(4, 7)}),  # but no block is larger than the bound
        (1, 20, {(1, 20)}),  # nor are copies of one sample, which are drawn together
        (1, 40, {(1, 30), (1, 10)}),
    ],
)
def test_samples_share_a_block_as_long_as_it_is_small_or_one_batch(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, copies: int, shapes: set[tuple[int, int]]
) -> None:
    monkeypatch.setattr(perturbed_copies, "BATCHES_BLOCK_BYTES", 4 * 6 * 14)
    monkeypatch.setattr(perturbed_copies, "COPIES_BLOCK_BYTES", 4 * 6 * 30)
    view = make_view(linear(TABLE), make_inputs(TABLE, 4), batch_size=batch_size)
    found = {
        (rows.stop - rows.start, part.stop - part.start)
        for rows, parts in perturbed_copies.copy_blocks(view, copies)
        for part in parts
    }
    assert found == shapes
