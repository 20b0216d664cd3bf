"""BA-2Motifs: graphs, motifs and causal checks are what they are said to be."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from xaibench.core.data import Data
from xaibench.datasets.ba2motifs import CHORD, HOUSE, MOTIF, BaseVariant, ba2motifs


def pairs_of(inputs: np.ndarray, context: dict[str, np.ndarray], row: int) -> list[tuple[int, int]]:
    there = inputs[row] > 0
    ends = (np.sort([context["src"][row][there], context["dst"][row][there]], axis=0)).T
    return [(int(u), int(v)) for u, v in ends]


def motif_of(pairs: list[tuple[int, int]], n: int) -> set[tuple[int, int]]:
    return {(u, v) for u, v in pairs if u >= n - MOTIF}


def is_house(motif: set[tuple[int, int]], n: int) -> bool:
    return len(motif) == 6


@pytest.mark.parametrize("variant", ["original", "balanced"])
def test_every_graph_is_a_base_with_one_motif(variant: BaseVariant) -> None:
    data = ba2motifs(seed=1, variant=variant, n_train=20, n_test=40, neutral=0)
    assert data.test_mask is not None
    numbers = []
    for row, label in enumerate(data.test_targets.tolist()):
        n = int(data.test_context["nodes"][row].sum())
        pairs = pairs_of(data.test_inputs, data.test_context, row)
        assert len(set(pairs)) == len(pairs)
        motif = motif_of(pairs, n)
        true = pairs_of(data.test_inputs * data.test_mask, data.test_context, row)
        assert set(true) == motif
        assert is_house(motif, n) == (label == HOUSE)
        ring = motif - {(n - MOTIF + min(CHORD), n - MOTIF + max(CHORD))}
        assert any(
            {tuple(sorted((a, b))) for a, b in zip(order, (*order[1:], order[0]), strict=True)} == ring
            for order in permutations(range(n - MOTIF, n))
        )
        links = [p for p in pairs if p[0] < n - MOTIF <= p[1]]
        assert len(links) == 1
        numbers.append((n, len(pairs) - len(motif)))
    assert (len(set(numbers)) == 1) == (variant == "original")
    if variant == "original":
        assert numbers[0] == (25, 20)


def test_a_degree_is_drawn_in_proportion_to_degrees() -> None:
    """Trees by preference have hubs: the largest degree is 5.9 on average, that of uniform trees of 20 nodes 4.3."""
    data = ba2motifs(seed=2, n_train=200, n_test=2, neutral=0)
    largest = []
    for row in range(200):
        base = np.array([p for p in pairs_of(data.train_inputs, data.train_context, row) if max(p) < 20])
        largest.append(np.bincount(base.ravel(), minlength=20).max())
    assert np.mean(largest) > 5.2


def test_changes_have_the_class_that_they_entail() -> None:
    data = ba2motifs(seed=1, n_train=4, n_test=30)
    exchanged, base, edge = data.interventions
    assert (exchanged.targets == 1 - data.test_targets).all()
    assert (base.targets == data.test_targets).all()
    assert (edge.targets == data.test_targets).all()
    for row in range(30):
        own = pairs_of(data.test_inputs, data.test_context, row)
        for check, motif_stays, base_stays in ((exchanged, False, True), (base, True, False), (edge, True, True)):
            assert check.context is not None
            other = pairs_of(check.inputs, dict(check.context), row)
            assert (motif_of(other, 25) == motif_of(own, 25)) == motif_stays
            assert is_house(motif_of(other, 25), 25) == (check.targets[row] == HOUSE)
            assert ({p for p in own if p[1] < 20} <= {p for p in other if p[1] < 20}) == base_stays
        assert len(pairs_of(edge.inputs, dict(edge.context or {}), row)) == len(own) + 1


def test_erased_graphs_say_nothing_and_are_trained_as_such() -> None:
    data = ba2motifs(seed=1, n_train=50, n_test=10, neutral=0.2)
    assert data.train_mask is not None
    soft = data.facts["train_probabilities"]
    assert (soft[:10] == 0.5).all()
    assert (soft[10:].argmax(axis=1) == data.train_targets[10:]).all()
    assert not (data.train_inputs[:10] * data.train_mask[:10]).any()
    assert len(data.background) == 40  # type: ignore[arg-type]
    (check,) = data.checks
    assert not (check.inputs * data.test_mask).any()  # type: ignore[attr-defined]
    assert ((data.test_inputs - check.inputs) == data.test_mask).all()  # type: ignore[attr-defined]


def test_the_chord_alone_distinguishes_a_house() -> None:
    whole, chord = (ba2motifs(seed=1, n_train=4, n_test=20, truth=t) for t in ("motif", "chord"))
    assert (whole.test_inputs == chord.test_inputs).all()
    assert chord.test_mask is not None
    assert (chord.test_mask.sum(axis=1) == chord.test_targets).all()
    assert not (chord.test_mask & ~whole.test_mask).any()  # type: ignore[operator]


def test_the_place_in_the_list_says_nothing() -> None:
    data: Data = ba2motifs(seed=3, n_train=2, n_test=200)
    areas = []
    for weights, truth in zip(data.test_inputs, data.test_mask, strict=True):  # type: ignore[arg-type]
        n = int(weights.sum())
        place, true = np.arange(n), truth[:n]
        areas.append((place[true][:, None] > place[~true]).mean())
    assert abs(np.mean(areas) - 0.5) < 3 * np.std(areas) / np.sqrt(len(areas))
