"""Flowers (after an8Flower, Oramas et al. 2019): which part has which signal colour? Checked by drawing again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import PositiveInt

from xaibench.core.data import Data, Intervention, PairSource
from xaibench.core.data_registry import dataset
from xaibench.core.gates import Findings, Gate
from xaibench.core.keys import array_digest
from xaibench.core.outputs import select_output
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.flower_pictures import (
    FLOWER_PARTS,
    NEUTRAL_HUES,
    SIGNAL_HUES,
    SIGNAL_SPREAD,
    Flowers,
    grow_flowers,
)
from xaibench.datasets.splits import generator

SIGNAL_PARTS = ("petals", "disc", "stem")
"""Parts that may have the signal; the leaves have the colour of the stem."""
HUE_NAMES = ("red", "purple")
N_FLOWER_CLASSES = len(SIGNAL_PARTS) * len(SIGNAL_HUES)
FOLLOWS_SIGNAL = 0.97
"""Share of the images in which a prediction has to follow the signal, or to stay with it."""


@dataclass(frozen=True)
class MarginMoves:
    """What redrawing the other parts does to the margin of the true class, as a share of what removal does.

    Attributes
    ----------
    name : str
    redrawn, neutral : array (N, *input_shape), float32
        Test inputs with the other parts in other hues, and without the signal.
    at_most : float
    """

    name: str
    redrawn: Array
    neutral: Array
    at_most: float

    @property
    def identity(self) -> list[Any]:
        return ["margin moves", 1, self.name, self.at_most, array_digest(self.redrawn), array_digest(self.neutral)]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Compare mean sizes of the changes of the margins, and say how far the margin falls without the signal."""
        targets = torch.from_numpy(data.test_targets)
        clean, redrawn, neutral = (
            select_output(predict_raw(model, x), targets.to(model.device), "margin", model.returns).double()
            for x in (data.test_inputs, self.redrawn, self.neutral)
        )
        removal = (clean - neutral).abs().mean()
        return Findings(
            (
                Gate(self.name, float((clean - redrawn).abs().mean() / removal), self.at_most, at_least=False),
                Gate("margin falls without the signal", float((clean - neutral).mean()), 1.0),
            )
        )


@dataset("flowers", features="image", provides={"truth.mask", "input_pair.neutral_part"})
def flowers(*, seed: int, train: PositiveInt = 3000, test: PositiveInt = 360) -> Data:
    """Name the part of a flower with a signal colour, and the colour: petals, disc or stem; red or purple.

    All other parts have hues between yellow and blue, so that no part but the signal's ever has a signal hue. The truth
    is the part with the signal (a stem with its leaves), and it is checked on every model by drawing the same flowers
    again: with the other signal colour, or with the signal on another part, the prediction must follow; with other hues
    of the other parts it must stay, and its margin hardly move; with the signal part in a neutral hue it must be at
    chance.

    ``input_pair.neutral_part`` has every image with one of the four parts (petals, disc, stem, leaves) in a neutral
    hue, and that part as the truth of the pair, for the part protocol.

    Parameters
    ----------
    seed : int
    train, test : int
        Images, of which the classes have equal shares.

    Notes
    -----
    After Oramas et al. (2019, arXiv:1712.06302), drawn in the plane instead of rendered. Images have 48 x 48 pixels;
    masks are exact, since parts have hard edges and the noise of pixels is the same whatever the colours are.
    """
    labels, hues, grown = _coloured("train", train, seed)
    train_inputs = grown.drawn(hues)
    labels_test, hues_test, shown = _coloured("test", test, seed)
    part, colour = labels_test // len(SIGNAL_HUES), labels_test % len(SIGNAL_HUES)
    rng = generator("flowers redrawn", seed)
    rows = np.arange(test)
    spared = _neutral(rng, test)
    elsewhere = (part + rng.integers(1, len(SIGNAL_PARTS), test)) % len(SIGNAL_PARTS)
    swapped = _with_signal(hues_test, part, 1 - colour, rng)
    moved = _with_signal(_with(hues_test, part, spared), elsewhere, colour, rng)
    redrawn = _with(_neutral(rng, test), part, hues_test)
    neutral = shown.drawn(_with(hues_test, part, spared))
    others = shown.drawn(redrawn)
    inputs = shown.drawn(hues_test)

    def follows(name: str, changed: Array, targets: Array) -> Intervention:
        return Intervention(name, changed, targets, rows, at_least=FOLLOWS_SIGNAL)

    return Data(
        "image",
        train_inputs,
        labels,
        inputs,
        labels_test,
        test_rows=inputs,
        class_names=tuple(f"{hue} {name}" for name in SIGNAL_PARTS for hue in HUE_NAMES),
        test_mask=_signal_mask(shown, part),
        train_mask=_signal_mask(grown, labels // len(SIGNAL_HUES)),
        truth_kind="model",
        interventions=(
            follows("other signal hue", shown.drawn(swapped), 2 * part + 1 - colour),
            follows("signal on another part", shown.drawn(moved), 2 * elsewhere + colour),
            follows("other parts redrawn", others, labels_test),
            Intervention("signal part neutral", neutral, labels_test, rows, at_most=1 / N_FLOWER_CLASSES + 0.08),
        ),
        accuracy_floor=0.98,
        checks=(MarginMoves("margin moved by redrawing, share of removal", others, neutral, 0.10),),
        pairs=tuple(
            PairSource(
                "input_pair.neutral_part",
                f"flowers {name}",
                inputs=shown.drawn(_one_changed(hues_test, number, spared)),
                level=float(number),
                truth=shown.mask(name),
            )
            for number, name in enumerate(FLOWER_PARTS)
        ),
    )


def _coloured(side: str, n: int, seed: int) -> tuple[Array, Array, Flowers]:
    """Labels (n,), hues of the parts (n, 4) in degrees, and the flowers."""
    labels = np.arange(n, dtype=np.int64) % N_FLOWER_CLASSES
    rng = generator("flower hues", side, seed)
    order = rng.permutation(n)
    labels = labels[order]
    hues = _with_signal(_neutral(rng, n), labels // len(SIGNAL_HUES), labels % len(SIGNAL_HUES), rng)
    return labels, hues, grow_flowers(n, side, seed)


def _neutral(rng: np.random.Generator, n: int) -> Array:
    """Neutral hues (n, 4); leaves have that of the stem."""
    found: Array = rng.uniform(*NEUTRAL_HUES, (n, len(FLOWER_PARTS)))
    return _leaves_like_stem(found)


def _leaves_like_stem(hues: Array) -> Array:
    hues[:, FLOWER_PARTS.index("leaves")] = hues[:, FLOWER_PARTS.index("stem")]
    return hues


def _with(hues: Array, part: Array, others: Array) -> Array:
    """Hues with those of one part of each flower (n,) taken from ``others``; a stem takes its leaves along."""
    found, rows = hues.copy(), np.arange(len(hues))
    found[rows, part] = others[rows, part]
    return _leaves_like_stem(found)


def _with_signal(hues: Array, part: Array, colour: Array, rng: np.random.Generator) -> Array:
    """Hues with the signal of a colour (n,) on a part (n,)."""
    signal = np.array(SIGNAL_HUES)[colour] + rng.uniform(-SIGNAL_SPREAD, SIGNAL_SPREAD, len(hues))
    return _with(hues, part, np.repeat(signal[:, None], len(FLOWER_PARTS), axis=1))


def _one_changed(hues: Array, number: int, others: Array) -> Array:
    """Hues with that of one and the same part of every flower taken from ``others``; stem and leaves apart."""
    found = hues.copy()
    found[:, number] = others[:, number]
    return found


def _signal_mask(grown: Flowers, part: Array) -> Array:
    """Pixels of the part with the signal (N, 48, 48) of bool; a stem with its leaves."""
    found: Array = grown.parts == part[:, None, None]
    with_leaves: Array = found | ((part == SIGNAL_PARTS.index("stem"))[:, None, None] & grown.mask("leaves"))
    return with_leaves
