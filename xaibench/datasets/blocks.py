"""BlockMNIST (Shah et al. 2021): a digit that is the class, above or below a block without information."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.checks import margins
from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.errors import UsageError
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor
from xaibench.core.types import Array
from xaibench.datasets.cards import read_shipped
from xaibench.datasets.splits import generator, split

BLOCK_SIDE = 28
Null = Literal["random", "fixed"]
Digit = Annotated[int, Ge(0), Le(9)]


@dataset("blockmnist", features="image", provides={"truth.mask", "truth.distractors"})
def blockmnist(
    *,
    seed: int,
    null: Null = "random",
    position: Literal["random", "top"] = "random",
    classes: tuple[Digit, Digit] = (0, 1),
    copies: PositiveInt = 6,
    n_test: PositiveInt = 400,
) -> Data:
    """Two blocks of 28x28 pixels, one above the other: a real MNIST digit, which is the class, and a null block.

    The truth is the block with the digit, 784 of 1,568 pixels; the distractors are the null block.
    It is checked by intervention on every model: null blocks swapped or erased must leave the
    accuracy, the decision must follow a digit of the other class in the place of the own one, and
    the margin must hardly move with the null blocks. That without a digit accuracy is at chance is
    a check of the data: null blocks say nothing of the class, whatever the model.

    Parameters
    ----------
    seed : int
    null : {"random", "fixed"}
        What the null block holds. *random*: drawn for every image, nothing, a square outline, a
        cross, or a small square, moved by up to 5 pixels, of an intensity from .4 to 1; swapped means
        redrawn. *fixed*: the same cross in all images; swapped means a square in its place. Models
        trained beside the cross never learn to ignore anything else and take the square for a zero,
        so this check fails, and the truth is only one about the data.
    position : {"random", "top"}
        Where the digit is.
    classes : tuple of int
        The two digits to distinguish.
    copies : int
        Placements of every training digit, each with a position and a null block of its own.
    n_test : int
        Digits for testing, each placed once; no digit is in both splits.

    Raises
    ------
    UsageError
        If both classes are the same digit.

    Notes
    -----
    After Shah et al. 2021 (arXiv:2102.12781, section 5), whose null block is fixed; why it is drawn
    here is in docs/suites/blockmnist.md.
    """
    if len(set(classes)) < 2:
        raise UsageError("classes must be two different digits")
    images, labels = _digits(classes)
    train, test = split(images, labels, n_test / len(labels), generator("split", "blockmnist", seed))
    rng = generator("placement", "blockmnist", seed)
    train = rng.permutation(np.repeat(train, copies))

    def nulls(n: int) -> Array:
        return random_glyphs(n, rng) if null == "random" else np.repeat(glyphs()["cross"][None], n, axis=0)

    def tops(n: int) -> Array:
        return rng.random(n) < 0.5 if position == "random" else np.ones(n, dtype=bool)

    train_top, top = tops(len(train)), tops(len(test))
    digits, glyph = images[test] / np.float32(255), nulls(len(test))
    swapped = nulls(len(test)) if null == "random" else np.repeat(glyphs()["square"][None], len(test), axis=0)
    blank, other = np.zeros_like(glyph), digits[_of_the_other_class(labels[test], seed)]
    mask = stack_blocks(np.ones_like(digits), blank, top).astype(bool)
    test_inputs, rows = stack_blocks(digits, glyph, top)[:, None], np.arange(len(test))

    def change(name: str, signal: Array, null: Array, targets: Array = labels[test], **rule: Any) -> Intervention:
        return Intervention(name, stack_blocks(signal, null, top)[:, None], targets, rows, **rule)

    changes = (
        change("null swapped", digits, swapped, max_drop=0.03),
        change("null erased", digits, blank, max_drop=0.03),
        change("signal erased (data)", blank, glyph, at_most=0.60),
        # As accurate as on the data, less what other null blocks may cost: digits meet those of other images.
        change("signal replaced", other, glyph, 1 - labels[test], at_least=0.96),
    )
    return Data(
        "image",
        stack_blocks(images[train] / np.float32(255), nulls(len(train)), train_top)[:, None],
        labels[train],
        test_inputs,
        labels[test],
        test_rows=test_inputs,
        class_names=tuple(map(str, classes)),
        test_mask=mask,
        truth_kind="model" if null == "random" else "data",
        interventions=changes,
        checks=(MarginShare("margin share of the null block", changes[0].inputs, changes[2].inputs, at_most=0.05),),
        accuracy_floor=0.99,
        train_mask=stack_blocks(
            np.ones((len(train), BLOCK_SIDE, BLOCK_SIDE), bool),
            np.zeros((len(train), BLOCK_SIDE, BLOCK_SIDE), bool),
            train_top,
        ),
        test_distractors=~mask,
    )


@dataclass(frozen=True)
class MarginShare:
    """Check how much the margin moves with what should not matter, as a share of how much it does with what should.

    Attributes
    ----------
    name : str
        Of the gate.
    irrelevant, relevant : array (N, *input_shape), float32
        The test inputs with something changed that should not matter, and something that should.
    at_most : float
        Largest share that passes: the mean absolute change of the margin of the true class over that
        with the relevant changes.
    """

    name: str
    irrelevant: Array
    relevant: Array
    at_most: float

    @property
    def identity(self) -> list[Any]:
        """Name, version and threshold: the inputs are those of the data set's interventions, which are named there."""
        return [self.name, 1, self.at_most]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Measure the share on all test rows."""
        clean = margins(model, data.test_inputs, data.test_targets)
        moved, wanted = (
            float(np.abs(margins(model, changed, data.test_targets) - clean).mean())
            for changed in (self.irrelevant, self.relevant)
        )
        share = moved / wanted if wanted > 0 else float("inf")
        return Findings((Gate(self.name, share, self.at_most, at_least=False),))


def stack_blocks(signals: Array, nulls: Array, top: Array) -> Array:
    """Put signals (N, 28, 28) on top of nulls (N, 28, 28) where ``top`` (N,), below them elsewhere: (N, 56, 28)."""
    upper = top[:, None, None]
    return np.concatenate([np.where(upper, signals, nulls), np.where(upper, nulls, signals)], axis=1)


def glyphs() -> dict[str, Array]:
    """What a null block can hold, in the middle of it and white: arrays (28, 28) of float32."""
    shapes = {
        name: np.zeros((BLOCK_SIDE, BLOCK_SIDE), np.float32) for name in ("blank", "square", "cross", "small square")
    }
    shapes["square"][7:21, 7:21] = 1
    shapes["square"][9:19, 9:19] = 0
    shapes["cross"][13:15, 7:21] = 1
    shapes["cross"][7:21, 13:15] = 1
    shapes["small square"][11:17, 11:17] = 1
    return shapes


def random_glyphs(n: int, rng: np.random.Generator) -> Array:
    """Draw null blocks (n, 28, 28) of float32: a glyph, moved by up to 5 pixels each way, of intensity .4 to 1."""
    shapes = np.stack(list(glyphs().values()))
    drawn, intensity = rng.integers(len(shapes), size=n), rng.uniform(0.4, 1, size=n).astype(np.float32)
    shift = rng.integers(-5, 6, size=(n, 2))
    # Every glyph is at least 5 pixels from the edges: nothing is rolled over them.
    line, column = ((np.arange(BLOCK_SIDE) - shift[:, [axis]]) % BLOCK_SIDE for axis in (0, 1))
    moved: Array = shapes[drawn[:, None, None], line[:, :, None], column[:, None, :]] * intensity[:, None, None]
    return moved


def _of_the_other_class(labels: Array, seed: int) -> Array:
    """For every row (N,) with label 0 or 1, a row with the other label."""
    rng = generator("replacement", "blockmnist", seed)
    zeros, ones = (rng.choice(np.flatnonzero(labels == label), len(labels)) for label in (0, 1))
    return np.where(labels == 0, ones, zeros)


def _digits(classes: tuple[int, int]) -> tuple[Array, Array]:
    """All digits of two classes in the slice of MNIST: images (N, 28, 28) of uint8, and 0 or 1 for each."""
    with np.load(io.BytesIO(read_shipped("mnist", "mnist.npz"))) as arrays:
        images = np.concatenate([arrays["train_images"], arrays["test_images"]])
        labels = np.concatenate([arrays["train_labels"], arrays["test_labels"]])
    chosen = np.isin(labels, classes)
    return images[chosen], (labels[chosen] == classes[1]).astype(np.int64)
