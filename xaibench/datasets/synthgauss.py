"""Synthetic Gaussian clusters with known weights per cluster, as in OpenXAI (Agarwal et al. 2022)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Lt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

DISTANCE = 5.0
"""Distance of a cluster's centre from the origin."""


@dataset("synthgauss", features="table")
def synthgauss(
    *,
    seed: int,
    features: Annotated[int, Ge(4)] = 20,
    clusters: Annotated[int, Ge(1)] = 10,
    per_cluster: Annotated[int, Ge(4)] = 400,
    active: Annotated[float, Gt(0), Lt(1)] = 0.5,
) -> Data:
    """Classify by a linear rule that uses other features in every cluster (Agarwal et al. 2022, OpenXAI, SynthGauss).

    Cluster k is N(mu_k, I); its centre mu_k lies at 5 on an axis of its own, and at 10, 15, ... where
    there are more clusters than features. The weights w are drawn once from U(-1, 1), and of each
    cluster a mask from Bernoulli(1/2), so that the log odds of a sample are ``x @ (mask_k * w)``. A
    sample is of class 1 where they are above their median, which makes the classes equal. A
    quarter of the rows is for testing.

    The model `clusterwise` is that rule, and its slopes in a sample are half of the masked weights.

    Parameters
    ----------
    seed : int
    features : int
    clusters : int
    per_cluster : int
        Rows of every cluster, before the split.
    active : float
        Probability that a cluster uses a feature. A mask without any feature is drawn again.
    """
    rng = generator("synthgauss", seed)
    weights = rng.uniform(-1, 1, features)
    masks = np.stack([_mask(features, active, rng) for _ in range(clusters)])
    centres = np.zeros((clusters, features))
    number = np.arange(clusters)
    centres[number, number % features] = DISTANCE * (1 + number // features)
    cluster = rng.permutation(np.repeat(number, per_cluster))
    rows = (centres[cluster] + rng.standard_normal((len(cluster), features))).astype(np.float32)
    odds = (rows * (masks * weights)[cluster]).sum(axis=1)
    threshold = float(np.median(odds))
    labels = (odds > threshold).astype(np.int64)
    n_test = len(rows) // 4
    return Data(
        "table",
        rows[n_test:],
        labels[n_test:],
        rows[:n_test],
        labels[:n_test],
        test_rows=rows[:n_test],
        feature_names=tuple(f"x{j}" for j in range(features)),
        class_names=("below", "above"),
        accuracy_floor=0.70,
        facts={"centres": centres, "weights": masks * weights, "threshold": threshold},
    )


def _mask(features: int, active: float, rng: np.random.Generator) -> Array:
    """Features that a cluster uses, array (features,) of bool, at least one."""
    while True:
        mask: Array = rng.random(features) < active
        if mask.any():
            return mask
