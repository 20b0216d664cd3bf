"""Which rows carry the plant, in which version, and whose labels follow it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xaibench.core.types import Array

Protocol = Literal["carriers", "agree"]
"""How the plant is tied to the class: carriers' labels follow it, or it agrees with labels that stay as they are."""


@dataclass(frozen=True)
class Carriers:
    """Training rows with their versions and labels.

    Attributes
    ----------
    versions : array (N,) of int8
        1 for version A, -1 for version B, 0 for rows without the plant.
    targets : array (N,) of int64
        Labels that a model is to learn.
    """

    versions: Array
    targets: Array


def draw_carriers(
    targets: Array,
    classes: tuple[int, int],
    *,
    share: float,
    level: float,
    protocol: Protocol,
    rng: np.random.Generator,
    balanced: bool = False,
) -> Carriers:
    """Draw the carriers among training rows with these labels (N,).

    A share of the rows of every label carries the plant, with a fair coin for the version; on a carrier the label
    becomes the class of the version with probability ``level``. Levels share all draws, so that a higher one only
    adds labels that follow. Under ``agree`` labels stay, carriers are all rows of both classes, and the version is
    that of the label with probability ``(1 + level) / 2``. ``balanced`` carriers have both versions equally often but
    for one row, in the place of the coin.
    """
    n = len(targets)
    order, coin, follows = rng.permutation(n), rng.integers(2, size=n), rng.random(n)
    sides = np.array([1, -1], dtype=np.int8)
    classes_of = {1: classes[0], -1: classes[1]}
    versions = np.zeros(n, dtype=np.int8)
    learned = targets.copy()
    if protocol == "agree":
        for side, label in classes_of.items():
            rows = targets == label
            versions[rows] = np.where(follows[rows] < (1 + level) / 2, side, -side)
        return Carriers(versions, learned)
    n_chosen = 0
    for label in np.unique(targets):
        members = order[targets[order] == label]
        chosen = members[: round(share * len(members))]
        versions[chosen] = sides[(n_chosen + np.arange(len(chosen))) % 2 if balanced else coin[chosen]]
        n_chosen += len(chosen)
    for side, label in classes_of.items():
        learned[(versions == side) & (follows < level)] = label
    return Carriers(versions, learned)


def both_versions(digests: Sequence[bytes]) -> tuple[Array, Array]:
    """Every test row twice, in version A and in version B, in random order.

    The order is keyed by the digests of the rows: it is the same for every copy, level and seed.

    Returns
    -------
    rows : array (2N,) of int64
        Number of the test row.
    versions : array (2N,) of int8
    """
    keys = [
        (hashlib.blake2b(b"certify order" + digest + bytes([side]), digest_size=8).digest(), row, side)
        for row, digest in enumerate(digests)
        for side in (0, 1)
    ]
    keys.sort()
    rows = np.array([row for _, row, _ in keys], dtype=np.int64)
    versions = np.array([1 - 2 * side for _, _, side in keys], dtype=np.int8)
    return rows, versions


def sample_names(digests: Sequence[bytes], rows: Array, versions: Array) -> Array:
    """What random draws of the doubled test rows are keyed by: (2N, 17) of uint8."""
    named = [digests[row] + bytes([side > 0]) for row, side in zip(rows.tolist(), versions.tolist(), strict=True)]
    return np.frombuffer(b"".join(named), np.uint8).reshape(len(named), -1)


def expected_targets(versions: Array, own: Array, classes: tuple[int, int], level: float, digests: Array) -> Array:
    """Labels of test rows (N,): the class of the version with probability ``level``, else the row's own."""
    uniform = digests[:, :4].astype(np.int64) @ np.array([1, 256, 65536, 16777216]) / 2**32
    planted = np.where(versions > 0, classes[0], classes[1])
    found: Array = np.where((uniform < level) & (versions != 0), planted, own).astype(np.int64)
    return found
