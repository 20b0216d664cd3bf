"""Where the nodes of a graph stand on the page: rings around a target, else springs; the same for all explainers."""

from __future__ import annotations

import numpy as np

from xaibench.core.types import Array

ITERATIONS = 50
GOLDEN_ANGLE = 2.4
"""Turn of a ring against the one inside it, so that nodes of few rings do not stand in a line."""


def positions(src: Array, dst: Array, n_nodes: int, target: int = -1) -> Array:
    """Places (n_nodes, 2) between 0 and 1, deterministic, whatever the directions of the edges.

    Parameters
    ----------
    src, dst : array (E,) of int
    n_nodes : int
    target : int
        Stands in the middle, the other nodes in rings by their distance from it; -1: springs.
    """
    if n_nodes == 1:
        return np.full((1, 2), 0.5)
    linked = np.zeros((n_nodes, n_nodes), bool)
    linked[src, dst] = linked[dst, src] = True
    np.fill_diagonal(linked, False)
    if target >= 0:
        rings = _rings(linked, target)
        around: Array = 0.5 + rings / (2 * np.abs(rings).max())
        return around
    found = _springs(linked)
    low, high = found.min(axis=0), found.max(axis=0)
    placed: Array = (found - low) / np.where(high > low, high - low, 1.0)
    return np.where(high > low, placed, 0.5)


def _rings(linked: Array, target: int) -> Array:
    """Breadth-first rings, each turned against the others, with nodes in the order of those they were reached from."""
    n = len(linked)
    depth, angle = np.full(n, -1), np.zeros(n)
    depth[target] = 0
    ring = [target]
    while ring:
        reached = [(angle[a], b) for a in ring for b in np.flatnonzero(linked[a] & (depth < 0)).tolist()]
        following: list[int] = []
        for _, node in sorted(reached):
            if depth[node] < 0:
                depth[node] = depth[ring[0]] + 1
                following.append(node)
        for place, node in enumerate(following):
            angle[node] = GOLDEN_ANGLE * depth[node] + 2 * np.pi * place / len(following)
        ring = following
    alone = np.flatnonzero(depth < 0)
    depth[alone] = depth.max() + 1
    angle[alone] = GOLDEN_ANGLE * depth[alone] + 2 * np.pi * np.arange(len(alone)) / max(len(alone), 1)
    return np.stack([depth * np.cos(angle), depth * np.sin(angle)], axis=1)


def _springs(linked: Array) -> Array:
    """Springs along edges, repulsion elsewhere (Fruchterman and Reingold 1991), from a fixed seed."""
    n = len(linked)
    found: Array = np.random.default_rng(0).random((n, 2))
    length = 1 / np.sqrt(n)
    for heat in np.linspace(0.1, 0.002, ITERATIONS):
        way = found[:, None] - found[None]
        distance = np.maximum(np.linalg.norm(way, axis=2), 1e-3)
        force = length**2 / distance**2 - linked * distance / length
        move = (way * force[..., None]).sum(axis=1)
        # A weak pull to the middle, or parts that are not connected drift apart.
        move -= (found - found.mean(axis=0)) * 0.5
        size = np.maximum(np.linalg.norm(move, axis=1, keepdims=True), 1e-9)
        found = found + move / size * np.minimum(size, heat)
    return found
