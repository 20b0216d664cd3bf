"""A function whose gradient can be turned round by a short step that leaves its value exactly as it was."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt

from xaibench.core.data import Data, PairSource
from xaibench.core.data_registry import dataset
from xaibench.datasets.splits import generator


@dataset("ripple", features="table", provides={"input_pair.attacked", "input_pair.noise"})
def ripple(
    *,
    seed: int,
    amplitude: Annotated[float, Gt(0)] = 3.0,
    frequency: Annotated[float, Gt(0)] = 50.0,
    features: Annotated[int, Ge(2)] = 64,
    samples: Annotated[int, Ge(2)] = 200,
) -> Data:
    """``f(x) = w.x + (A / k) sin(k u.x)``, w and u of length 1 at right angles, and samples with u.x = 0.

    A step of length pi / k along u leaves f as it was and turns the gradient from w + A u to w - A u, whose cosine is
    ``(1 - A^2) / (1 + A^2)``. SmoothGrad with noise of standard deviation s multiplies the ripple by
    ``exp(-k^2 s^2 / 2)``. Attacks on networks have no such closed form; here every number is known.

    Parameters
    ----------
    seed : int
    amplitude : float
        A: slope of the ripple, that of the function being 1.
    frequency : float
        k.
    features : int
    samples : int
    """
    rng = generator("ripple", seed)
    basis, _ = np.linalg.qr(rng.standard_normal((features, 2)))
    w, u = basis.T
    rows = rng.standard_normal((2, samples, features))
    rows -= (rows @ u)[..., None] * u
    train, test = rows
    length = math.pi / frequency
    noise = rng.standard_normal((samples, features))
    noise *= length / np.linalg.norm(noise, axis=1, keepdims=True)
    attacked, noisy = (test + length * u).astype(np.float32), (test + noise).astype(np.float32)
    labels = np.ones(samples, np.int64)
    return Data(
        "table",
        train.astype(np.float32),
        labels,
        test.astype(np.float32),
        labels,
        test_rows=test.astype(np.float32),
        feature_names=tuple(f"x{j}" for j in range(features)),
        class_names=("no", "yes"),
        accuracy_floor=None,
        facts={"w": w, "u": u, "amplitude": amplitude, "frequency": frequency},
        pairs=(
            PairSource("input_pair.attacked", f"half a wave {frequency}", inputs=attacked),
            PairSource("input_pair.noise", f"noise of that length {frequency}", inputs=noisy),
        ),
    )
