"""Infection: distances and paths against scipy, computation graphs against the whole graph, checks against a search."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path

from xaibench.core.data import Data
from xaibench.datasets.infection import infection, shortest_paths
from xaibench.models.message_passing import GraphConvNet

LAYERS = 3


@pytest.fixture(scope="module")
def data() -> Data:
    return infection(seed=3, layers=LAYERS, n_nodes=200, n_infected=10, n_train=30, n_test=40)


def edges_of(data: Data, row: int, kept: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    there = data.test_inputs[row] > 0 if kept is None else kept[row] > 0
    return data.test_context["src"][row][there], data.test_context["dst"][row][there]


def distance(data: Data, row: int, kept: np.ndarray | None = None) -> int:
    """Class of the target, by scipy."""
    src, dst = edges_of(data, row, kept)
    x = data.test_context["x"][row]
    joined = coo_array((np.ones(len(src)), (dst, src)), shape=(len(x), len(x)))
    steps = shortest_path(joined.tocsr(), unweighted=True, indices=0)
    infected = steps[x[:, 1] > 0]
    return int(min(infected.min(initial=np.inf), LAYERS + 1))


def test_distances_and_numbers_of_paths() -> None:
    rng = np.random.default_rng(0)
    src, dst = rng.integers(40, size=(2, 90))
    pairs = np.unique(np.stack([src, dst])[:, src != dst], axis=1)
    sources = np.zeros(40, dtype=bool)
    sources[:3] = True
    found, paths = shortest_paths(*pairs, sources, longest=4)
    joined = coo_array((np.ones(pairs.shape[1]), pairs), shape=(40, 40)).toarray()
    steps = shortest_path(joined, unweighted=True)[:3].min(axis=0)
    np.testing.assert_array_equal(found, np.where(steps <= 4, steps, 5))
    walks = sources.astype(float)
    for length in range(5):
        reached = found == length
        np.testing.assert_array_equal(paths[reached], walks[reached])
        walks = walks @ joined
    assert not paths[found > 4].any()


def test_the_truth_is_the_one_path_from_an_infected_node(data: Data) -> None:
    assert data.test_mask is not None
    assert set(data.test_targets.tolist()) <= set(range(1, LAYERS + 1))
    for row, label in enumerate(data.test_targets.tolist()):
        assert distance(data, row) == label
        path = data.test_mask[row]
        assert path.sum() == label
        ends = {int(v): int(u) for u, v in zip(*edges_of(data, row, data.test_mask), strict=True)}
        node = 0
        for _ in range(label):
            node = ends[node]
        assert data.test_context["x"][row][node, 1] == 1


def test_the_causal_checks_ask_for_the_distance_in_what_is_left(data: Data) -> None:
    names = [check.name for check in data.interventions]
    assert names == ["nothing but the path", "path erased", "one edge of the path erased"]
    for check in data.interventions:
        assert [distance(data, row, check.inputs) for row in range(len(check.inputs))] == check.targets.tolist()
    only, erased, one = data.interventions
    assert (only.targets == data.test_targets).all()
    assert (erased.targets > data.test_targets).all()
    assert (one.targets > data.test_targets).all()


def test_a_computation_graph_gives_what_the_whole_graph_gives() -> None:
    data = infection(seed=1, layers=LAYERS, n_nodes=150, n_infected=8, n_train=60, n_test=5)
    torch.manual_seed(0)
    net = GraphConvNet(2, LAYERS + 2, LAYERS, 16).eval()
    facts = {name: torch.from_numpy(values)[None] for name, values in data.facts.items()}
    with torch.no_grad():
        whole = net.of_all_nodes(
            torch.ones(1, facts["whole_src"].shape[1]), facts["whole_src"], facts["whole_dst"], facts["whole_x"]
        )[0]
        context = {name: torch.from_numpy(values) for name, values in data.train_context.items()}
        parts = net(torch.from_numpy(data.train_inputs), **context)
    # Every row of the parts is a row of the whole.
    gaps = (parts.unsqueeze(1) - whole).abs().amax(dim=2).amin(dim=1)
    assert float(gaps.max()) < 1e-4


def test_the_place_in_the_list_says_nothing() -> None:
    data = infection(seed=2, layers=2, n_nodes=600, n_infected=40, n_test=100)
    assert data.test_mask is not None
    areas = []
    for weights, truth in zip(data.test_inputs, data.test_mask, strict=True):
        n = int(weights.sum())
        place, true = np.arange(n), truth[:n]
        if 0 < true.sum() < n:
            areas.append((place[true][:, None] > place[~true]).mean())
    error = np.std(areas) / np.sqrt(len(areas))
    assert abs(np.mean(areas) - 0.5) < 3 * error
