"""Feature leakage (Shah et al. 2021): one coordinate, or one block, carries the class, in a known distribution."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

SIGNS = np.array([-1.0, 1.0], dtype=np.float32)
CLASS_NAMES = ("minus", "plus")


@dataset("leakage_onehot", features="table", provides={"truth.mask", "truth.distractors"})
def leakage_onehot(*, seed: int, n_coordinates: PositiveInt = 10, copies: PositiveInt = 20) -> Data:
    """One coordinate of a sample is +1 or -1, which is its class; all others are 0.

    There are only ``2 * n_coordinates`` inputs. Each is there once for testing, so that a score is
    that of the whole population, and ``copies`` times for training. The truth is the sample's own
    coordinate; the others, which carry the class of other samples, are the distractors.

    Parameters
    ----------
    seed : int
        Orders the rows, and keys random draws: the inputs of all seeds are the same, their draws are not.
    n_coordinates, copies : int

    Notes
    -----
    The one-hot experiment of Shah et al. 2021 (arXiv:2102.12781). The truth is about the data: where
    this sample's evidence is. A standard network would react to the distractors as well, if they
    were there, and its gradient rightly says so. As the test rows are the whole population, their
    accuracy is the causal check: a model that is right on all of them follows the sign wherever it
    is. That is said once more by the gate on inputs with their sign flipped.
    """
    rng = generator("rows", "leakage_onehot", seed)
    inputs = np.concatenate([np.diag(np.full(n_coordinates, sign)) for sign in SIGNS])
    targets = np.repeat(np.arange(2), n_coordinates)
    train, test = rng.permutation(np.repeat(np.arange(len(inputs)), copies)), rng.permutation(len(inputs))
    mask, rows = inputs[test] != 0, np.arange(len(test))
    return Data(
        "table",
        inputs[train],
        targets[train],
        inputs[test],
        targets[test],
        test_rows=np.column_stack([inputs[test], np.full(len(test), float(seed))]),
        feature_names=tuple(f"x{i}" for i in range(n_coordinates)),
        class_names=CLASS_NAMES,
        test_mask=mask,
        truth_kind="data",
        interventions=(Intervention("signal flipped", 0 - inputs[test], 1 - targets[test], rows, at_least=0.99),),
        accuracy_floor=0.99,
        train_mask=inputs[train] != 0,
        test_distractors=~mask,
    )


@dataset("leakage_blocks", features="series", provides={"truth.mask", "truth.distractors"})
def leakage_blocks(
    *,
    seed: int,
    position: Literal["random", "fixed"] = "random",
    n_blocks: PositiveInt = 10,
    size: PositiveInt = 10,
    noise: PositiveFloat = 0.05,
    n_train: PositiveInt = 1000,
    n_test: PositiveInt = 500,
) -> Data:
    """Blocks of Gaussian noise, one of which also holds plus or minus a fixed direction: the class.

    With y = +1 or -1 and a unit vector u, the same for all samples and blocks, every block is
    ``noise * N(0, I)``, and one of the first half of them also holds ``y * u``. The truth is that
    block; the distractors are the other blocks of the first half, those that carry the class of
    other samples. Blocks of the second half are noise always, and neither.

    Parameters
    ----------
    seed : int
    position : {"random", "fixed"}
        Whether the signal is in any of the first half of the blocks, or in the first one always. Then the
        distractors carry no class at all.
    n_blocks, size : int
        Number of blocks, and of the dimensions of each: inputs are (block, dimension).
    noise : float
        Standard deviation.
    n_train, n_test : int

    Notes
    -----
    Simplified data of Shah et al. 2021 (arXiv:2102.12781, theorems 1 and 2). The truth is about the
    data, as in `leakage_onehot`. Three checks: with the direction flipped, the decision must flip (on
    the model); redrawing all other blocks, which hold noise only, may cost next to nothing (on the
    model, and weak: what would be in the distractors of other samples is not put there); without the
    direction, accuracy is at chance (on the data).
    """
    rng = generator("draws", "leakage_blocks", seed)
    u = rng.standard_normal(size)
    u /= np.linalg.norm(u)
    usable = max(n_blocks // 2, 1)

    def sample(n: int) -> tuple[Array, Array, Array]:
        targets = rng.permutation(np.arange(n) % 2)
        place = rng.integers(usable, size=n) if position == "random" else np.zeros(n, dtype=np.int64)
        return targets, place, noise * rng.standard_normal((n, n_blocks, size))

    def compose(targets: Array, place: Array, noises: Array) -> Array:
        inputs = noises.copy()
        inputs[np.arange(len(inputs)), place] += SIGNS[targets, None] * u
        return inputs.astype(np.float32)

    def true_blocks(place: Array) -> Array:
        return np.repeat((place[:, None] == np.arange(n_blocks))[:, :, None], size, axis=2)

    train, (targets, place, noises) = sample(n_train), sample(n_test)
    test_inputs, mask = compose(targets, place, noises), true_blocks(place)
    _, _, redrawn = sample(n_test)
    redrawn[np.arange(n_test), place] = noises[np.arange(n_test), place]
    rows = np.arange(n_test)
    return Data(
        "series",
        compose(*train),
        train[0],
        test_inputs,
        targets,
        test_rows=test_inputs,
        class_names=CLASS_NAMES,
        test_mask=mask,
        truth_kind="data",
        interventions=(
            Intervention("other blocks redrawn", compose(targets, place, redrawn), targets, rows, max_drop=0.01),
            Intervention("signal flipped", compose(1 - targets, place, noises), 1 - targets, rows, at_least=0.99),
            Intervention("signal erased (data)", noises.astype(np.float32), targets, rows, at_most=0.6),
        ),
        accuracy_floor=0.99,
        train_mask=true_blocks(train[1]),
        test_distractors=~mask & (np.arange(n_blocks) < usable)[:, None],
    )
