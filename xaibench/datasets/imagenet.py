"""Photographs of ImageNet's 1,000 classes, and mosaics of four of them whose decisive cell is known."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError, UsageError
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.cards import card
from xaibench.datasets.fetch import read_fetched
from xaibench.datasets.splits import generator

PHOTOGRAPH_SIDE, IMAGENET_CLASSES = 224, 1000
_SHORT_SIDE = 256
"""Pixels of the shorter side before the middle is cut out."""
RECOGNISED = tuple(i for i in range(20) if i not in (6, 7))
"""Images whose class efficientnet_lite0 gives as its first answer."""
AMONG = 100
"""Place among the classes by which the explained one must be found in a mosaic."""
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_CELLS = 4


@dataset("imagenet", features="image")
def imagenet(*, seed: int, folder: str = "") -> Data:
    """20 photographs of ImageNet with their classes (`xaibench data fetch imagenet`), or those of a folder.

    The shorter side becomes 256 pixels (bicubic), the central 224 x 224 are taken, and grey levels g are
    ``(g - 127) / 128``, as `efficientnet_lite0` was trained. There is nothing to train: the reference samples are the
    photographs themselves.

    Parameters
    ----------
    seed : int
        Orders the photographs.
    folder : str
        Photographs to take instead. In sub-folders that are called by the number of the class, 0 to 999, they have
        labels; otherwise there are none, accuracy is not a gate, and suites explain the predicted class.

    Raises
    ------
    DataError
        If the photographs have not been fetched, or the folder has none, or a sub-folder is not the number of a class.
    """
    pictures, labels = _folder(Path(folder)) if folder else _fetched()
    order = generator("order", "imagenet", seed).permutation(len(pictures))
    pixels = np.stack([middle_of(pictures[i]) for i in order])
    known = labels is not None
    targets = np.array(labels, dtype=np.int64)[order] if labels is not None else np.zeros(len(order), np.int64)
    inputs = as_network_inputs(pixels)
    return Data(
        "image",
        inputs,
        targets,
        inputs,
        targets,
        test_rows=pixels,
        class_names=tuple(map(str, range(IMAGENET_CLASSES))),
        accuracy_floor=0.8 if known else None,
    )


@dataset("mosaic", features="image", provides={"truth.mask"})
def mosaic(*, seed: int, images: tuple[int, ...] = RECOGNISED) -> Data:
    """Mosaics of four photographs of different classes: which cell is the explained class in? (grid pointing game).

    Every photograph of ``images`` is the target of one mosaic, so that no two samples share one; the other three and
    the cells are drawn. The truth is the target's cell, a quarter of the pixels. It is checked on the model: to
    grey the own cell must lower the logit of the class more than to grey any other, and the class must be found.

    Parameters
    ----------
    seed : int
    images : tuple of int
        Photographs of the data set `imagenet`, by number. By default those that `efficientnet_lite0` recognises: what a
        network does not know alone it does not find in a mosaic.

    Raises
    ------
    UsageError
        If the images have fewer than four classes, or a number is not one of an image.
    """
    pictures, labels = _fetched()
    if not set(images) <= set(range(len(pictures))):
        raise UsageError(f"images are numbered from 0 to {len(pictures) - 1}, and these are {images}")
    if len({labels[i] for i in images}) < _CELLS:
        raise UsageError("a mosaic needs images of four classes", "give more numbers in images=")
    rng = generator("mosaics", "mosaic", seed)
    small = {i: middle_of(pictures[i], PHOTOGRAPH_SIDE // 2) for i in images}
    chosen, places = [], []
    for target in rng.permutation(images):
        others: list[int] = []
        for i in rng.permutation(images):
            if len(others) < _CELLS - 1 and labels[i] not in {labels[j] for j in (int(target), *others)}:
                others.append(int(i))
        if len(others) < _CELLS - 1:
            raise UsageError("a mosaic needs images of four classes", "give more numbers in images=")
        place = int(rng.integers(_CELLS))
        chosen.append([*others[:place], int(target), *others[place:]])
        places.append(place)
    pixels = np.stack([_tiled([small[i] for i in four]) for four in chosen])
    cells = np.array(places)
    targets = np.array([labels[four[place]] for four, place in zip(chosen, places, strict=True)], dtype=np.int64)
    inputs = as_network_inputs(pixels)
    return Data(
        "image",
        inputs,
        targets,
        inputs,
        targets,
        test_rows=pixels,
        class_names=tuple(map(str, range(IMAGENET_CLASSES))),
        test_mask=_masks(cells),
        truth_kind="model",
        accuracy_floor=None,
        checks=(OwnCellDecides(tuple(places)),),
    )


@dataclass(frozen=True)
class OwnCellDecides:
    """Check that the class of a mosaic is found, and that its logit falls most when its own cell is grey.

    Attributes
    ----------
    places : tuple of int
        Cell of the target per mosaic, in reading order.
    at_least : float
        Share of the mosaics in which the own cell must lower the logit most.
    found_at_least : float
        Share of the mosaics in which the class must be among the first 100.
    """

    places: tuple[int, ...]
    at_least: float = 0.9
    found_at_least: float = 0.75

    @property
    def identity(self) -> list[Any]:
        """Name, version, cells and thresholds."""
        return ["own cell decides", 1, list(self.places), AMONG, self.at_least, self.found_at_least]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Measure both shares on all mosaics."""
        own = predict_raw(model, data.test_inputs)
        targets = torch.from_numpy(data.test_targets).to(own.device).unsqueeze(1)
        logit = own.gather(1, targets)
        without = []
        for cell in range(_CELLS):
            grey = np.where(_masks(np.full(len(data.test_inputs), cell))[:, None], np.float32(0), data.test_inputs)
            without.append(predict_raw(model, grey).gather(1, targets))
        drops = (logit - torch.cat(without, dim=1)).cpu().numpy()
        decisive = float((drops.argmax(axis=1) == np.array(self.places)).mean())
        found = float(((own > logit).sum(dim=1) < AMONG).double().mean())
        return Findings(
            (
                Gate("own cell lowers the logit most", decisive, self.at_least),
                Gate(f"class among the first {AMONG}", found, self.found_at_least),
            )
        )


def middle_of(content: bytes, side: int = PHOTOGRAPH_SIDE) -> Array:
    """The middle of an encoded photograph: array (3, side, side) of uint8.

    The shorter side becomes 8/7 of ``side`` pixels (256 for 224), bicubic.
    """
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(content)).convert("RGB")
    except OSError as error:
        raise DataError(f"a photograph cannot be read: {error}") from error
    short = _SHORT_SIDE * side // PHOTOGRAPH_SIDE
    factor = short / min(picture.size)
    width, height = (max(short, round(n * factor)) for n in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - side) // 2, (height - side) // 2
    found: Array = np.asarray(picture.crop((left, top, left + side, top + side))).transpose(2, 0, 1).copy()
    return found


def as_network_inputs(pixels: Array) -> Array:
    """Grey levels (N, 3, H, W) of uint8 as the network takes them, float32."""
    found: Array = (pixels.astype(np.float32) - np.float32(127)) / np.float32(128)
    return found


def _tiled(cells: Sequence[Array]) -> Array:
    """Four pictures (3, h, w) in reading order as one (3, 2 h, 2 w)."""
    upper, lower = (np.concatenate(cells[row : row + 2], axis=2) for row in (0, 2))
    return np.concatenate([upper, lower], axis=1)


def _masks(cells: Array) -> Array:
    """Masks (N, 224, 224) of one cell (N,) each."""
    found = np.zeros((len(cells), 2, PHOTOGRAPH_SIDE // 2, 2, PHOTOGRAPH_SIDE // 2), dtype=bool)
    found[np.arange(len(cells)), cells // 2, :, cells % 2] = True
    return found.reshape(len(cells), PHOTOGRAPH_SIDE, PHOTOGRAPH_SIDE)


def _fetched() -> tuple[list[bytes], list[int]]:
    """The photographs of the card in its order, and their classes, which their names end in."""
    origin = card("imagenet").origin
    assert origin is not None
    names = [Path(member).name for member in origin.members]
    return [read_fetched("imagenet", name) for name in names], [int(Path(n).stem.rpartition("_")[2]) for n in names]


def _folder(folder: Path) -> tuple[list[bytes], list[int] | None]:
    """Photographs of a folder, sorted by path, and their classes where sub-folders are numbers."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not paths:
        raise DataError(
            f"there are no photographs in {str(folder)!r}", f"known endings: {', '.join(sorted(_SUFFIXES))}"
        )
    above = [p.relative_to(folder).parts[:-1] for p in paths]
    content = [p.read_bytes() for p in paths]
    if not any(above):
        return content, None
    wrong = next((p for p, parts in zip(paths, above, strict=True) if not _is_class(parts)), None)
    if wrong is not None:
        raise DataError(
            f"{wrong.name} is not in a sub-folder that is the number of a class",
            f"name sub-folders 0 to {IMAGENET_CLASSES - 1}, or put all photographs into the folder itself for none",
        )
    return content, [int(parts[0]) for parts in above]


def _is_class(parts: tuple[str, ...]) -> bool:
    return len(parts) == 1 and re.fullmatch(r"\d{1,3}", parts[0]) is not None
