"""A data set that is a folder of images, with masks of what matters in them where there are some."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import annotated_types
import numpy as np

from xaibench.core.component_files import FOLDER, SourceFile, files_in, of_file, reads_files
from xaibench.core.components import Component
from xaibench.core.data import Data
from xaibench.core.data_specs import DatasetSpec
from xaibench.core.errors import DataError
from xaibench.core.types import Array
from xaibench.datasets.files.parameters import TestShare, default_floor
from xaibench.datasets.splits import generator, split

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_PIXELS = 50_000_000
Pixels = Annotated[int, annotated_types.Ge(1), annotated_types.Le(4096)]


@dataclass(frozen=True)
class _Labelled:
    """An image file, its class, and its place below the folder (without the side of the split)."""

    path: Path
    label: str
    place: str
    side: str


@reads_files("dataset", FOLDER)
def image_folder(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The data set of a folder of images."""

    def read(
        *,
        seed: int,
        size: tuple[Pixels, Pixels] | None = None,
        channels: Annotated[int, annotated_types.Ge(0), annotated_types.Le(3)] = 0,
        mean: tuple[float, ...] = (),
        std: tuple[float, ...] = (),
        labels: str = "",
        masks: str = "",
        test: TestShare = 0.3,
        rows: Annotated[int, annotated_types.Ge(4)] = 20_000,
        accuracy_floor: float | None = None,
    ) -> Data:
        """Images of a folder, one sub-folder per class.

        Parameters
        ----------
        size : tuple of int, optional
            Height and width that images are resized to; without it all must have the same.
        channels : {1, 3}, optional
            Grey or colours; by default that of the first image.
        mean, std : tuple of float
            Per channel, of pixels between 0 and 1: (pixel - mean) / std is what the model is given.
        labels : str
            CSV file with the columns file and class, instead of sub-folders.
        masks : str
            Folder with an image of the same name for every image: what is not black is the truth.
        test : float
            Share of the images that are test images, unless there are sub-folders train and test.
        rows : int
            Images that are used at most; of more that many are drawn.
        accuracy_floor : float, optional
            By default the share of the most frequent class in the test images, plus .02.
        """
        found = _from_table(file, labels) if labels else _from_folders(file.path)
        if len(found) > rows:
            chosen = generator("rows of a file", file.sha256).choice(len(found), rows, replace=False)
            found = [found[i] for i in np.sort(chosen)]
        classes = sorted({one.label for one in found})
        if len(classes) < 2:
            raise DataError(f"the images of {file.name} are of one class", "a sub-folder for each class, or labels=")
        colours = channels or _channels_of(found[0].path)
        pictures = _read(found, size, colours)
        targets = np.array([classes.index(one.label) for one in found])
        train, test_rows = _parts(found, pictures, targets, test, seed)
        inputs = _normalised(pictures, mean, std)
        truth = None
        if masks:
            where = file.beside(masks).path
            truth = np.stack([_mask(where, found[i], pictures.shape[2:]) for i in test_rows])
        floor = default_floor(targets[test_rows]) if accuracy_floor is None else accuracy_floor
        return Data(
            features="image",
            train_inputs=inputs[train],
            train_targets=targets[train],
            test_inputs=inputs[test_rows],
            test_targets=targets[test_rows],
            test_rows=pictures[test_rows],
            class_names=tuple(classes),
            test_mask=truth,
            accuracy_floor=floor,
            facts={"file": file.sha256},
        )

    provides = {"truth.mask"} if params.get("masks") else set()
    return DatasetSpec(file.name, of_file(read, file), features="image", provides=frozenset(provides))


def _from_folders(folder: Path) -> list[_Labelled]:
    """Images in a sub-folder per class, which may be in sub-folders train and test."""
    sides = [s for s in ("train", "test") if (folder / s).is_dir()]
    if len(sides) == 1:
        raise DataError(f"{folder.name} has a sub-folder {sides[0]} only", "give both train and test, or neither")
    found = []
    for path in files_in(folder):
        parts = path.relative_to(folder).parts
        side, parts = (parts[0], parts[1:]) if sides and parts[0] in sides else ("", parts)
        if path.suffix.lower() not in SUFFIXES or (sides and not side):
            continue
        if len(parts) < 2:
            raise DataError(
                f"{folder.name} has the image {path.name} outside of any class",
                "a sub-folder per class, or labels = 'labels.csv' with the columns file and class",
            )
        found.append(_Labelled(path, parts[0], "/".join(parts), side))
    if not found:
        raise DataError(f"{folder.name} has no images", f"known: {', '.join(SUFFIXES)}")
    return found


def _from_table(file: SourceFile, labels: str) -> list[_Labelled]:
    table = file.beside(labels).path
    try:
        with table.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{labels} cannot be read: {error}") from error
    if not rows or not {"file", "class"} <= set(rows[0]):
        raise DataError(f"{labels} has no columns file and class", "its first line is: file,class")
    found = []
    for row in rows:
        path = (file.path / row["file"]).resolve()
        if not path.is_relative_to(file.path) or not path.is_file():
            raise DataError(f"{labels} names {row['file']!r}, which is not in {file.name}")
        found.append(_Labelled(path, row["class"], row["file"], row.get("split", "") or ""))
    return found


def _open(path: Path) -> Any:
    """An image, of which only the first bytes are read.

    Raises
    ------
    DataError
        If it is not an image of a known format, or has more than 50 million pixels.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path, formats=IMAGE_FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(f"image {path.name} is too large: {error}", "leave it out, or make it smaller") from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path.name} is not an image: {str(error).partition('/')[0].strip()}") from error
    if image.width * image.height > MOST_PIXELS:
        n = image.width * image.height
        image.close()
        raise DataError(f"image {path.name} has {n:,} pixels", f"at most {MOST_PIXELS:,} are taken; make it smaller")
    return image


def _channels_of(path: Path) -> int:
    with _open(path) as image:
        return 1 if image.mode in ("1", "L", "I;16", "LA") else 3


def _read(found: Sequence[_Labelled], size: tuple[int, int] | None, channels: int) -> Array:
    """Pixels (N, C, H, W) of uint8."""
    if channels == 2:
        raise DataError("images have 1 or 3 channels, not 2")
    pictures: Array | None = None
    for i, one in enumerate(found):
        pixels = _pixels(one.path, size, "L" if channels == 1 else "RGB")
        if pictures is None:
            pictures = np.empty((len(found), *pixels.shape), np.uint8)
        if pixels.shape != pictures.shape[1:]:
            raise DataError(
                f"image {one.place} is {pixels.shape[1]} x {pixels.shape[2]}, the first one "
                f"{pictures.shape[2]} x {pictures.shape[3]}",
                "size = [HEIGHT, WIDTH] makes them equal",
            )
        pictures[i] = pixels
    assert pictures is not None
    return pictures


def _pixels(path: Path, size: tuple[int, int] | None, mode: str) -> Array:
    from PIL import Image

    with _open(path) as image:
        try:
            if size is not None and image.size != (size[1], size[0]):
                image.draft(mode, (size[1], size[0]))
            picture = image.convert(mode)
            if size is not None:
                picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"image {path.name} is damaged: {error}") from error
        pixels: Array = np.asarray(picture, dtype=np.uint8)
    return pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)


def _mask(folder: Path, one: _Labelled, sides: tuple[int, ...]) -> Array:
    """What matters in an image (H, W): what is not black in the image of the same name."""
    from PIL import Image

    name = Path(one.place)
    places = [(folder / name).with_suffix(s) for s in (name.suffix, *SUFFIXES)]
    places += [(folder / one.side / name).with_suffix(s) for s in SUFFIXES] if one.side else []
    path = next((p for p in places if p.is_file()), None)
    if path is None or not path.resolve().is_relative_to(folder):
        raise DataError(
            f"there is no mask for the image {one.place}", "one of the same name, below the folder of masks"
        )
    with _open(path) as image:
        grey = image.convert("L")
        if grey.size != (sides[1], sides[0]):
            grey = grey.resize((sides[1], sides[0]), Image.Resampling.NEAREST)
        found: Array = np.asarray(grey) > 0
    return found


def _parts(found: Sequence[_Labelled], pictures: Array, targets: Array, share: float, seed: int) -> tuple[Array, Array]:
    rng = generator("split of a file", seed)
    if any(one.side for one in found):
        sides = [rng.permutation([i for i, one in enumerate(found) if one.side == s]) for s in ("train", "test")]
        parts = sides[0].astype(np.int64), sides[1].astype(np.int64)
    else:
        parts = split(pictures, targets, share, rng)
    if not (len(parts[0]) and len(parts[1])):
        raise DataError("the split leaves no train or no test images", "give more images")
    return parts


def _normalised(pictures: Array, mean: Sequence[float], std: Sequence[float]) -> Array:
    n = pictures.shape[1]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (0, 1, n):
            raise DataError(f"{name} has {len(values)} numbers for {n} channels")
    if any(s <= 0 for s in std):
        raise DataError("std must be above 0")
    shift = np.broadcast_to(np.array(mean or [0.0], np.float32), (n,)).reshape(1, n, 1, 1)
    spread = np.broadcast_to(np.array(std or [1.0], np.float32), (n,)).reshape(1, n, 1, 1)
    found: Array = (pictures.astype(np.float32) / np.float32(255) - shift) / spread
    return found
