"""Fidelity, characterisation, unfaithfulness and accuracy of an explanation as a set, against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.graphs import SumNet, lists, sample

import xaibench as xb

NET = SumNet()
GRAPHS = sample(n=3)
W, CONTEXT = lists(GRAPHS)
GIVEN: dict[str, Any] = {"model": NET, "inputs": W, "context": CONTEXT, "features": "edges", "targets": [1, 0, 1]}
MAPS = np.random.default_rng(4).normal(size=(3, 9)).astype(np.float32)


def probabilities(row: int, kept: np.ndarray) -> np.ndarray:
    graph = {k: torch.from_numpy(v)[None] for k, v in GRAPHS[row].items()}
    with torch.no_grad():
        raw = NET(torch.from_numpy(kept.astype(np.float32))[None], graph["src"], graph["dst"], graph["x"])
    return torch.softmax(raw.double(), dim=1)[0].numpy()


def top(row: int, k: int) -> np.ndarray:
    n = len(GRAPHS[row]["w"])
    return np.isin(np.arange(n), np.argsort(-MAPS[row, :n])[:k])


def score(name: str, **params: Any) -> np.ndarray:
    return np.asarray(xb.score(name, attributions=MAPS, **GIVEN, **params))


@pytest.mark.parametrize("share", [None, 0.5])
def test_they_are_what_their_definitions_say(share: float | None) -> None:
    plus, minus, characters, far = [], [], [], []
    for row, target in enumerate(GIVEN["targets"]):
        n = len(W[row])
        chosen = top(row, max(1, round((0.2 if share is None else share) * n)))
        whole, without, alone = (probabilities(row, kept) for kept in (np.ones(n), ~chosen, chosen))
        plus.append(whole[target] - without[target])
        minus.append(whole[target] - alone[target])
        a, b = np.clip(plus[-1], 0, 1), np.clip(1 - minus[-1], 0, 1)
        characters.append(1 / (0.5 / a + 0.5 / b) if a > 0 and b > 0 else 0.0)
        far.append(1 - np.exp(-(whole * np.log(whole / alone)).sum()))
    np.testing.assert_allclose(score("fid_plus", share=share), plus, atol=1e-5)
    np.testing.assert_allclose(score("fid_minus", share=share), minus, atol=1e-5)
    np.testing.assert_allclose(score("fid_delta", share=share), np.subtract(plus, minus), atol=1e-5)
    np.testing.assert_allclose(score("characterization", share=share), characters, atol=1e-5)
    np.testing.assert_allclose(score("unfaithfulness", share=share), far, atol=1e-5)


def test_the_whole_graph_as_explanation_loses_nothing() -> None:
    np.testing.assert_array_equal(score("fid_minus", share=1.0), 0)
    np.testing.assert_allclose(score("unfaithfulness", share=1.0), 0, atol=1e-9)
    empty = [probabilities(row, np.zeros(len(W[row])))[t] for row, t in enumerate(GIVEN["targets"])]
    full = [probabilities(row, np.ones(len(W[row])))[t] for row, t in enumerate(GIVEN["targets"])]
    np.testing.assert_allclose(score("fid_plus", share=1.0), np.subtract(full, empty), atol=1e-5)


def test_the_variant_accuracy_counts_changed_predictions() -> None:
    changed = []
    for row in range(3):
        n = len(W[row])
        chosen = top(row, max(1, round(0.5 * n)))
        changed.append(
            [
                float(probabilities(row, kept).argmax() != probabilities(row, np.ones(n)).argmax())
                for kept in (~chosen, chosen)
            ]
        )
    plus, minus = np.array(changed).T
    np.testing.assert_array_equal(score("fid_plus", share=0.5, variant="accuracy"), plus)
    np.testing.assert_array_equal(score("fid_minus", share=0.5, variant="accuracy"), minus)


def test_without_a_share_the_truth_says_how_many() -> None:
    truth = np.zeros((3, 9), bool)
    for row, k in enumerate((1, 4, 2)):
        truth[row, :k] = True
    found = xb.score("fid_plus", attributions=MAPS, truth=truth, **GIVEN)
    expected = []
    for row, k in enumerate((1, 4, 2)):
        whole, without = (
            probabilities(row, kept)[GIVEN["targets"][row]] for kept in (np.ones(len(W[row])), ~top(row, k))
        )
        expected.append(whole - without)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_curve_has_five_shares() -> None:
    curve = xb.curve("fid_minus", attributions=MAPS, **GIVEN)
    assert curve.shape == (3, 5)
    for place, share in enumerate((0.05, 0.1, 0.2, 0.3, 0.5)):
        np.testing.assert_allclose(curve[:, place], score("fid_minus", share=share), atol=1e-6)


def test_graph_explanation_accuracy_is_the_jaccard_index_at_the_size_of_the_truth() -> None:
    truth = np.zeros((3, 9), bool)
    truth[0, [0, 2]], truth[1, [1, 2, 3]], truth[2, [5]] = True, True, True
    expected = []
    for row in range(3):
        own = truth[row, : len(W[row])]
        hits = int((top(row, own.sum()) & own).sum())
        expected.append(hits / (2 * own.sum() - hits))
    found = xb.score("gea", attributions=MAPS, truth=truth, **GIVEN)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    np.testing.assert_array_equal(xb.score("gea", attributions=truth.astype(np.float32), truth=truth, **GIVEN), 1)


def test_values_have_no_classes_to_compare() -> None:
    def single(w: np.ndarray, **context: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            raw = NET(torch.from_numpy(w), **{k: torch.from_numpy(v) for k, v in context.items()})
        return raw[:, :1].numpy()

    given = {**GIVEN, "model": single, "returns": "value", "targets": [0, 0, 0]}
    for name in ("unfaithfulness", "characterization"):
        with pytest.raises(xb.UnsupportedError):
            xb.score(name, attributions=MAPS, **given)
    assert np.isfinite(xb.score("fid_plus", attributions=MAPS, **given)).all()


def test_all_scores_of_a_set_together_cost_three_evaluations_of_a_sample() -> None:
    evaluated: list[int] = []

    def counted(w: np.ndarray, **context: np.ndarray) -> np.ndarray:
        evaluated.append(len(w))
        with torch.no_grad():
            return NET(torch.from_numpy(w), **{k: torch.from_numpy(v) for k, v in context.items()}).numpy()

    problem = xb.Problem(counted, W, GIVEN["targets"], context=CONTEXT, features="edges", returns="logit")
    evaluated.clear()
    maps = xb.Attributions(MAPS, explainer="mine")
    for name in ("fid_plus", "fid_minus", "fid_delta", "characterization", "unfaithfulness"):
        problem.score(name, maps, share=0.5)
    assert sum(evaluated) == 3 * len(W)
