"""The original BAM from the folders that its authors' scripts build; for those who have them.

Below ``path`` are the sets ``obj``, ``scene``, ``scene_only``, ``dog_bedroom``, ``bamboo_forest`` and
``bamboo_forest_patch``, the object masks of validation images in ``masks`` (or ``val_mask``), and
``val_loc.txt`` with a line per validation image: its name and the object's top left and bottom right
corner. A folder in an image's path names its class; one called ``train`` or ``val``, else the number
that its name ends in (900 to 999 of every thousand: validation), names its side. Images of different
sets, masks and lines belong together if their names below their set are the same, or else their
files' names, where these are the only ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import PositiveInt

from xaibench.core.data import Data, PairSource
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError
from xaibench.core.types import Array
from xaibench.datasets.bam_compose import images_as_inputs
from xaibench.datasets.bam_pictures import OBJECTS, to_uint8, zoomed
from xaibench.datasets.splits import generator

ROOMS = (
    "bamboo_forest", "bedroom", "bowling_alley", "bus_interior", "cockpit", "corn_field", "laundromat", "runway",
    "ski_slope", "track",
)  # fmt: skip
CLASSES = {"obj": OBJECTS, "scene": ROOMS, "scene_only": ROOMS, "dog_bedroom": ROOMS, "bamboo_forest": ROOMS}
HINT = "`path` is the data folder of https://github.com/google-research-datasets/bam, built by its scripts"
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
T = TypeVar("T")
_SPLITS = {"train", "val"}


@dataset("bam_original_object", features="image", provides={"truth.mask", "model_pair.contrast"})
def bam_original_object(*, seed: int, path: str, side: PositiveInt = 64, per_class: PositiveInt = 10_000) -> Data:
    """Name the object, on the original BAM; the contrasting model names the scene.

    Parameters
    ----------
    seed : int
        Orders the rows and draws those that are selected.
    path : str
        The folder of the sets.
    side : int
        Images are resized to this many pixels.
    per_class : int
        Images of each class that are selected, at most, on each side of the split.

    Raises
    ------
    DataError
        If a folder is missing, or what is in it does not fit together.
    """
    root = Path(path)
    train, test = (_chosen(root, "obj", which, per_class, seed) for which in ("train", "val"))
    scenes = _index({name: _class_of(p, ROOMS) for name, p in _files(root, "scene").items()})
    learned, wanted = ([_by_name(scenes, _below(root, p), "scene") for p in rows] for rows in (train, test))
    mask = _masks(root, test, side)
    return _data(
        root,
        "obj",
        (train, test),
        side,
        test_mask=mask,
        accuracy_floor=0.85,
        pairs=(
            PairSource(
                "model_pair.contrast",
                "scene labels",
                data=partial(_data, root, "obj", (train, test), side, labels=(learned, wanted), classes=ROOMS),
                labels=np.array(wanted, dtype=np.int64),
                truth=~mask,
            ),
        ),
    )


@dataset("bam_original_scene", features="image", provides={"truth.mask", "truth.distractors", "input_pair.without"})
def bam_original_scene(*, seed: int, path: str, side: PositiveInt = 64, per_class: PositiveInt = 10_000) -> Data:
    """Name the scene behind the object, on the original BAM; ``input_pair.without`` are the images of scene_only.

    Parameters
    ----------
    seed, path, side, per_class
        As for `bam_original_object`.
    """
    root = Path(path)
    train, test = (_chosen(root, "scene", which, per_class, seed) for which in ("train", "val"))
    empty = _index(_files(root, "scene_only"))
    without = images_as_inputs(_images([_by_name(empty, _below(root, p), "scene_only") for p in test], side))
    mask = _masks(root, test, side)
    labels = np.array([_class_of(name, ROOMS) for name in test], dtype=np.int64)
    pair = PairSource("input_pair.without", "scene_only", inputs=without, labels=labels, truth=np.ones_like(mask))
    return _data(
        root, "scene", (train, test), side, test_mask=~mask, test_distractors=mask, accuracy_floor=0.85, pairs=(pair,)
    )


@dataset("bam_original_scene_only", features="image", provides={"truth.distractors", "input_pair.patched"})
def bam_original_scene_only(*, seed: int, path: str, side: PositiveInt = 64, per_class: PositiveInt = 10_000) -> Data:
    """Name the scene, on the original BAM: bamboo forests first, then the validation images.

    ``input_pair.patched`` are the forests of bamboo_forest_patch. Their patches were made for the
    authors' own model: whether another one ignores them must be measured before they say anything.

    Parameters
    ----------
    seed, path, side, per_class
        As for `bam_original_object`.
    """
    root = Path(path)
    train, test = (_chosen(root, "scene_only", which, per_class, seed) for which in ("train", "val"))
    forests, patches = (_files(root, name) for name in ("bamboo_forest", "bamboo_forest_patch"))
    forest, patched = list(forests.values()), list(patches.values())
    if list(forests) != list(patches):
        raise DataError(f"bamboo_forest and bamboo_forest_patch in {root} hold different images", HINT)
    changed = _images(patched, side)
    data = _data(root, "scene_only", (train, [*forest, *test]), side, accuracy_floor=0.85)
    assert data.test_rows is not None
    distractors = np.zeros((len(data.test_rows), side, side), dtype=bool)
    distractors[: len(forest)] = (changed != data.test_rows[: len(forest)]).any(axis=1)
    pair = PairSource("input_pair.patched", "bamboo_forest_patch", inputs=images_as_inputs(changed))
    return replace(data, test_distractors=distractors, pairs=(pair,))


@dataset("bam_original_dog_bedroom", features="image", provides={"truth.mask"})
def bam_original_dog_bedroom(*, seed: int, path: str, side: PositiveInt = 64, per_class: PositiveInt = 10_000) -> Data:
    """Name the scene, on the original BAM, tested on dogs in bedrooms; models learn the set ``scene``.

    Parameters
    ----------
    seed, path, side, per_class
        As for `bam_original_object`.
    """
    root = Path(path)
    train, test = _chosen(root, "scene", "train", per_class, seed), list(_files(root, "dog_bedroom").values())
    bedroom = ROOMS.index("bedroom")
    labels = ([_class_of(name, ROOMS) for name in train], [bedroom] * len(test))
    return _data(
        root, "scene", (train, test), side, labels=labels, test_mask=_masks(root, test, side), accuracy_floor=0.5
    )


def _files(root: Path, name: str) -> dict[str, Path]:
    """Images of a set by their name below it, without ``train`` or ``val`` and the suffix; in the order of names."""
    folder = root / name
    if not folder.is_dir():
        raise DataError(f"the original BAM is not in {root}: there is no folder {name}", HINT)
    found = {_name(p, folder): p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES}
    if not found:
        raise DataError(f"there are no images in {folder}", HINT)
    return dict(sorted(found.items()))


def _name(path: Path, folder: Path) -> str:
    return "/".join(p for p in path.relative_to(folder).with_suffix("").parts if p not in _SPLITS)


def _below(root: Path, image: Path) -> str:
    """Name of an image below its set."""
    return _name(image, root).partition("/")[2]


def _split_of(path: Path) -> str:
    """``train`` or ``val``, by the innermost folder of that name, else by the number of the image."""
    named = [p for p in path.parts if p in _SPLITS]
    if named:
        return named[-1]
    number = re.search(r"(\d+)$", path.stem)
    if number is None:
        raise DataError(f"{path} is neither in train nor in val, and its name ends in no number", HINT)
    return "val" if int(number[1]) % 1000 >= 900 else "train"


def _class_of(path: Path, classes: tuple[str, ...]) -> int:
    found = [classes.index(p) for p in path.parent.parts if p in classes]
    if not found:
        raise DataError(f"no folder of {path} is one of the classes {', '.join(classes)}", HINT)
    return found[-1]


def _chosen(root: Path, name: str, which: str, per_class: int, seed: int) -> list[Path]:
    """Images of one side of a set, in random order, the first ``per_class`` of every class."""
    rows = [p for p in _files(root, name).values() if _split_of(p.relative_to(root)) == which]
    chosen, counts = [], [0] * len(CLASSES[name])
    for row in generator("order", "bam_original", which, seed).permutation(len(rows)):
        label = _class_of(rows[row], CLASSES[name])
        counts[label] += 1
        chosen += [rows[row]] if counts[label] <= per_class else []
    if not chosen:
        raise DataError(f"{root / name} has no {'training' if which == 'train' else 'validation'} images", HINT)
    return chosen


def _masks(root: Path, images: Iterable[Path], side: int) -> Array:
    """Masks of the objects (N, side, side) of bool, each checked against the corners of its object in val_loc.txt."""
    folder = next((f for f in ("masks", "val_mask") if (root / f).is_dir()), "masks")
    masks, corners, out = _index(_files(root, folder)), _index(_corners(root)), []
    for image in images:
        name = _below(root, image)
        mask = _read(_by_name(masks, name, folder))[:, :, 0] > 127
        if not mask.any():
            raise DataError(f"the mask of {name} is empty", HINT)
        box = _by_name(corners, name, "val_loc.txt")
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, left, bottom, right = rows[0], columns[0], rows[-1], columns[-1]
        if min(np.abs(np.subtract(box, b)).max() for b in ((left, top, right, bottom), (top, left, bottom, right))) > 2:
            raise DataError(f"the mask of {name} is not where val_loc.txt says the object is", HINT)
        out.append(_resized(255 * mask[None].astype(np.float32), side)[0] > 127)
    return np.stack(out)


def _corners(root: Path) -> dict[str, tuple[int, ...]]:
    path = root / "val_loc.txt"
    if not path.is_file():
        raise DataError(f"the original BAM in {root} has no val_loc.txt", HINT)
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        name, *numbers = re.split(r"[\s,]+", line.strip())
        if len(numbers) != 4 or not all(re.fullmatch(r"\d+", n) for n in numbers):
            raise DataError(f"line {number} of {path} is not a name with four corners: {line!r}", HINT)
        found[_name(Path(name), Path())] = tuple(map(int, numbers))
    return found


def _index(entries: Mapping[str, T]) -> dict[str, T]:
    """Entries by their names, and by the last part of them where it is the only one like it."""
    counts = Counter(name.rpartition("/")[2] for name in entries)
    alone = {last: entry for name, entry in entries.items() if counts[last := name.rpartition("/")[2]] == 1}
    return alone | dict(entries)


def _by_name(index: Mapping[str, T], name: str, where: str) -> T:
    """The entry of an image, by its name or the last part of it."""
    key = name if name in index else name.rpartition("/")[2]
    if key not in index:
        raise DataError(f"{where} has nothing, or nothing of its own, for the image {name}", HINT)
    return index[key]


def _read(path: Path) -> Array:
    """Colours (h, w, 3) of uint8."""
    from skimage.io import imread

    try:
        pixels = np.asarray(imread(path))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", HINT) from error
    return np.stack([pixels] * 3, axis=-1) if pixels.ndim == 2 else pixels[..., :3]


def _resized(image: Array, side: int) -> Array:
    """An image (C, h, w), cut to its central square, at another size."""
    shortest = min(image.shape[1:])
    y, x = ((extent - shortest) // 2 for extent in image.shape[1:])
    return zoomed(image[:, y : y + shortest, x : x + shortest], side / shortest)


def _images(paths: Iterable[Path], side: int) -> Array:
    """Images (N, 3, side, side) of uint8."""
    return np.stack([to_uint8(_resized(_read(p).transpose(2, 0, 1).astype(np.float32), side)) for p in paths])


def _data(
    root: Path,
    name: str,
    rows: tuple[list[Path], list[Path]],
    side: int,
    *,
    labels: tuple[list[int], list[int]] | None = None,
    classes: tuple[str, ...] | None = None,
    **more: Any,
) -> Data:
    """Data of training and test images, labelled by their folders unless other labels are given."""
    classes = classes or CLASSES[name]
    train, test = (_images(paths, side) for paths in rows)
    if labels is None:
        labels = ([_class_of(p, classes) for p in rows[0]], [_class_of(p, classes) for p in rows[1]])
    wanted = [np.array(side_labels, dtype=np.int64) for side_labels in labels]
    return Data(
        "image",
        images_as_inputs(train),
        wanted[0],
        images_as_inputs(test),
        wanted[1],
        test_rows=test,
        class_names=classes,
        **more,
    )
