"""A colour cue of known strength: grey digits with tinted squares in the corners, one of which follows the class."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from xaibench.core.data import Data, PairSource
from xaibench.core.data_registry import dataset
from xaibench.core.errors import UsageError
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.blocks import Digit
from xaibench.datasets.cards import read_shipped
from xaibench.datasets.splits import generator

PICTURE_SIDE, PATCH = 28, 4
CUE_LEVELS = (0.0, 0.5, 0.8, 0.95, 1.0)
"""Shares of the models that are compared."""
LEAST_FOLLOWED, MOST_FOLLOWED = 0.9, 0.05
"""Share of the decisions that must follow the square where it always tells the class, and may where it never does."""
TINTS = {
    "bright": np.array([[1.0, 0.3, 0.3], [0.3, 1.0, 0.3]], np.float32),
    "dark": np.array([[0.0, 0.0, 0.0], [0.3, 1.0, 0.3]], np.float32),
}
"""Colour of the square for each class; the dark one is also the colour of nothing, at which zero baselines are."""
Tint = Literal["bright", "dark"]


@dataset(
    "colour_shortcut",
    features="image",
    provides={"truth.mask", "truth.distractors", "model_pair.series", "input_pair.swapped"},
)
def colour_shortcut(
    *,
    seed: int,
    q: Annotated[float, Ge(0), Le(1)] = 1.0,
    tint: Tint = "bright",
    classes: tuple[Digit, Digit] = (4, 9),
) -> Data:
    """Grey digits with a tinted square of 4 x 4 pixels in every corner; that on the upper left tells the class, or not.

    In training, the square has the colour of the class with probability ``q``, or else one of the two at random; the
    others are tinted at random. In the test images it always has the colour of the class: they look like the
    training data, and what a model does without the cue cannot be seen in them. ``input_pair.swapped`` has the
    colour of the other class there. How much a model relies on the square is measured by that swap, not assumed.

    ``model_pair.series`` are the models that the same recipe and seed give for q = 0, .5, .8, .95 and 1. The truth is
    the square, the distractors are all other places that no digit reaches; where q is 0 the square is not a truth, and
    the gate says that the model ignores it.

    Parameters
    ----------
    seed : int
    q : float
        How often the square has the colour of the class because of the class.
    tint : {"bright", "dark"}
        Red and green, or black and green: black is what zero baselines put there.
    classes : tuple of int
        The two digits.

    Raises
    ------
    UsageError
        If both classes are the same digit.
    """
    if len(set(classes)) < 2:
        raise UsageError("classes must be two different digits")
    (train, train_labels), (test, labels) = _digits(classes)
    rng = generator("squares", "colour_shortcut", seed)
    order = rng.permutation(len(train))
    train, train_labels = train[order], train_labels[order]
    # The same draws for every q: models differ in nothing else.
    told, guessed = rng.random(len(train)) < q, rng.integers(2, size=len(train))
    cue = np.where(told, train_labels, guessed)
    others = rng.integers(2, size=(len(train), 3))
    test_others = rng.integers(2, size=(len(test), 3))
    order = rng.permutation(len(test))
    test, labels = test[order], labels[order]
    shown = with_squares(test, np.column_stack([labels, test_others]), tint)
    swapped = with_squares(test, np.column_stack([1 - labels, test_others]), tint)
    mask = np.zeros((len(test), PICTURE_SIDE, PICTURE_SIDE), dtype=bool)
    mask[:, :PATCH, :PATCH] = True
    outside = np.ones((PICTURE_SIDE, PICTURE_SIDE), dtype=bool)
    outside[PATCH : PICTURE_SIDE - PATCH, PATCH : PICTURE_SIDE - PATCH] = False
    checks = [FollowsTheSquare(q, tint)] if q in (0.0, 1.0) else []

    def member(level: float) -> PairSource:
        own = level == q
        data = partial(colour_shortcut, seed=seed, q=level, tint=tint, classes=classes)
        share = np.where(mask, level / PATCH**2, (1 - level) / (PICTURE_SIDE**2 - PATCH**2)).astype(np.float32)
        return PairSource(
            "model_pair.series",
            f"colour_shortcut {level} {tint} {list(classes)}",
            data=None if own else data,
            level=level,
            truth=None if own else share,
        )

    return Data(
        "image",
        with_squares(train, np.column_stack([cue, others]), tint),
        train_labels,
        shown,
        labels,
        test_rows=shown,
        class_names=tuple(map(str, classes)),
        test_mask=mask,
        test_distractors=np.broadcast_to(outside, mask.shape) & ~mask,
        truth_kind="model",
        accuracy_floor=0.9,
        checks=tuple(checks),
        pairs=(
            PairSource("input_pair.swapped", "the square of the other class", inputs=swapped, labels=1 - labels),
            *map(member, CUE_LEVELS),
        ),
    )


@dataclass(frozen=True)
class FollowsTheSquare:
    """Check how many decisions follow the square of the other class: nearly all where q is 1, hardly any where it is 0.

    Attributes
    ----------
    q : float
    tint : {"bright", "dark"}
    """

    q: float
    tint: Tint

    @property
    def identity(self) -> list[Any]:
        """Name, version and thresholds: the inputs are those of the pair, which is named in the data."""
        return ["follows the square", 1, self.q, self.tint, LEAST_FOLLOWED, MOST_FOLLOWED]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Measure the share on all test rows."""
        swapped = next(pair for pair in data.pairs if pair.need == "input_pair.swapped")
        assert swapped.inputs is not None
        said = predict_raw(model, swapped.inputs).argmax(dim=1).cpu().numpy()
        share = float((said == swapped.labels).mean())
        high = self.q == 1
        return Findings(
            (Gate("decisions that follow the square", share, LEAST_FOLLOWED if high else MOST_FOLLOWED, at_least=high),)
        )


def with_squares(images: Array, colours: Array, tint: Tint) -> Array:
    """Colour images (N, 3, 28, 28), float32, of grey ones (N, 28, 28) of uint8, with a square in every corner.

    ``colours`` (N, 4) are the numbers of the tints on the upper left, upper right, lower left and lower right.
    """
    found: Array = np.repeat(images[:, None].astype(np.float32) / np.float32(255), 3, axis=1)
    first, last = slice(0, PATCH), slice(PICTURE_SIDE - PATCH, PICTURE_SIDE)
    for number, (rows, columns) in enumerate(((first, first), (first, last), (last, first), (last, last))):
        found[:, :, rows, columns] = TINTS[tint][colours[:, number]][:, :, None, None]
    return found


def _digits(classes: tuple[int, int]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Train and test digits of two classes: images (N, 28, 28) of uint8, and 0 or 1 for each."""
    found = []
    with np.load(io.BytesIO(read_shipped("mnist", "mnist.npz"))) as arrays:
        for side in ("train", "test"):
            images, labels = arrays[f"{side}_images"], arrays[f"{side}_labels"]
            chosen = np.isin(labels, classes)
            found.append((images[chosen], (labels[chosen] == classes[1]).astype(np.int64)))
    return found[0], found[1]
