"""The graph suites with truth: walk formulas against enumeration, signs and gates of negative evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core.data import Data
from xaibench.core.graphs import edge_counts, permuted_edges
from xaibench.datasets.linear_gnn import linear_gnn, walk_values
from xaibench.datasets.negative_evidence import BLUE, RED, WHITE, negative_evidence
from xaibench.explainers.engines.coalitions import all_coalitions, shapley_weights
from xaibench.models.graph_networks import WalkSum, one_layer_gnn

DATA = linear_gnn(seed=3, train=1, test=5)
NET = WalkSum(3)


def tensors(data: Data, rows: slice = slice(None)) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(values[rows]) for name, values in data.test_context.items()}


def test_the_network_is_the_power_of_the_adjacency_matrix() -> None:
    found = NET(torch.from_numpy(DATA.test_inputs).double(), **tensors(DATA)).squeeze(1)
    rows = zip(*(DATA.test_context[name] for name in ("src", "dst", "x")), strict=True)
    expected = [walk_values(src, dst, x[:, 0], 0) for src, dst, x in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(DATA.test_values, expected, rtol=1e-6)


def test_walk_formula_is_the_enumeration_of_all_coalitions() -> None:
    exact = NET.contributions(torch.from_numpy(DATA.test_inputs), torch.zeros(5), **tensors(DATA))
    coalitions = all_coalitions(11)
    for row in range(3):
        one = {
            k: v.repeat(len(coalitions), *(1,) * (v.ndim - 1)) for k, v in tensors(DATA, slice(row, row + 1)).items()
        }
        values = NET(coalitions.double(), **one).squeeze(1)
        np.testing.assert_allclose(values @ shapley_weights(coalitions), exact[row], atol=1e-9)
        assert float(exact[row].sum()) == pytest.approx(float(values[-1]), abs=1e-9)


def test_explainers_meet_the_closed_forms_of_walks() -> None:
    """Integrated gradients by how often an edge is used, the gradient thrice that, leaving out the whole of a walk."""
    given: dict[str, Any] = {
        "model": NET, "inputs": DATA.test_inputs, "context": DATA.test_context, "features": "edges", "returns": "value",
    }  # fmt: skip
    shapley, uses, losses = (np.zeros((5, 11)) for _ in range(3))
    for row in range(5):
        src, dst, x = (DATA.test_context[name][row] for name in ("src", "dst", "x"))
        directed = [(a, b, e) for e, (s, d) in enumerate(zip(src, dst, strict=True)) for a, b in ((s, d), (d, s))]
        walks = [[edge] for edge in directed if edge[0] == 0]
        for _ in range(2):
            walks = [[*walk, edge] for walk in walks for edge in directed if edge[0] == walk[-1][1]]
        for walk in walks:
            end, edges = float(x[walk[-1][1], 0]), [edge[2] for edge in walk]
            for e in set(edges):
                shapley[row, e] += end / len(set(edges))
                uses[row, e] += end * edges.count(e)
                losses[row, e] += end
    np.testing.assert_allclose(xb.explain("shapley_sampling", n_samples=200, **given), shapley, atol=1e-5)
    np.testing.assert_allclose(xb.explain("gradient", **given), uses, atol=1e-5)
    np.testing.assert_allclose(xb.explain("feature_ablation", **given), losses, atol=1e-5)
    np.testing.assert_allclose(xb.explain("integrated_gradients", steps=32, **given), uses / 3, atol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kernel_shap", "shapley_sampling"])
def test_estimates_are_within_four_standard_errors(name: str) -> None:
    exact = NET.contributions(torch.from_numpy(DATA.test_inputs), torch.zeros(5), **tensors(DATA)).numpy()
    few = 256 if name == "kernel_shap" else 12
    maps = np.stack(
        [
            xb.explain(
                name, model=NET, inputs=DATA.test_inputs, context=DATA.test_context, features="edges", returns="value",
                n_samples=few, seed=seed,
            )
            for seed in range(10)
        ]
    )  # fmt: skip
    error = maps.std(axis=0, ddof=1) / np.sqrt(len(maps))
    assert (np.abs(maps.mean(axis=0) - exact) <= 4 * error + 1e-4).mean() > 0.98


def small(seed: int = 0) -> Data:
    return negative_evidence(seed=seed, whites=180, graphs=1, test=20)


def test_signs_are_those_of_the_colours_and_classes_their_majority() -> None:
    data = small()
    counts = edge_counts("edges", data.test_inputs, {})
    for row in range(len(data.test_inputs)):
        n = int(counts[row])
        assert (data.test_context["dst"][row, :n] == 0).all()
        colours = data.test_context["x"][row][data.test_context["src"][row, :n]].argmax(axis=1)
        blue, red = int((colours == BLUE).sum()), int((colours == RED).sum())
        assert abs(blue - red) > 1
        assert min(blue, red) >= 2
        assert data.test_targets[row] == int(red > blue)
        wanted = np.select([colours == WHITE, colours == (RED if red > blue else BLUE)], [0, 1], -1)
        np.testing.assert_array_equal(data.test_signs[row, :n], wanted)
        assert (data.test_signs[row, n:] == 0).all()


def test_lists_are_in_an_order_that_says_nothing() -> None:
    """Places of minority edges in the list: their mean is one half, within three standard errors."""
    data = negative_evidence(seed=1, whites=180, graphs=1, test=100)
    counts = edge_counts("edges", data.test_inputs, {})
    places = np.concatenate(
        [(np.flatnonzero(row[:n] < 0) + 0.5) / n for row, n in zip(data.test_signs, counts.tolist(), strict=True)]
    )
    assert abs(places.mean() - 0.5) < 3 * places.std() / np.sqrt(len(places))


def test_the_order_is_drawn_by_what_the_graph_is() -> None:
    w, ends = np.ones((2, 6), np.float32), {"src": np.tile(np.arange(6), (2, 1)), "dst": np.tile(np.arange(6), (2, 1))}
    w[1, 4:] = 0
    moved, context, (_, marks) = permuted_edges(w, ends, None, np.tile(np.arange(6), (2, 1)))
    np.testing.assert_array_equal(moved, w)
    np.testing.assert_array_equal(context["src"], marks)
    assert sorted(marks[1, :4].tolist()) == [0, 1, 2, 3]
    assert marks[1, 4:].tolist() == [4, 5]
    _, _, (only,) = permuted_edges(w[1:, :4], {k: v[1:, :4] for k, v in ends.items()}, np.arange(4)[None])
    np.testing.assert_array_equal(only[0], marks[1, :4])


@pytest.mark.slow
def test_gates_hold_on_a_trained_network() -> None:
    data = negative_evidence(seed=2, test=60)
    net = one_layer_gnn(data, seed=2)
    for change in data.interventions:
        found = net(torch.from_numpy(change.inputs), **tensors(data)).argmax(dim=1).numpy()
        assert (found == change.targets).mean() >= 0.99
