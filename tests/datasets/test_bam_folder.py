"""The loader of the original BAM, on a miniature of its folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.io import imsave

from xaibench.core.data import Data
from xaibench.core.errors import DataError
from xaibench.core.registry import get
from xaibench.datasets.bam_folder import OBJECTS, ROOMS

SIDE = 32
NUMBERS = (0, 1, 1899, 900, 999)
"""Three training and two validation images of every pair used."""
PAIRS = [("dog", "bedroom"), ("zebra", "bedroom"), ("dog", "track")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey square (the object) at a place of its own in front of a room of its own colour."""
    root = tmp_path_factory.mktemp("bam")
    rng = np.random.default_rng(0)
    lines = []

    def save(path: str, pixels: np.ndarray) -> None:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        imsave(file, pixels.astype(np.uint8), check_contrast=False)

    def view(room: str, *, with_object: bool, at: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        image, mask = np.full((SIDE, SIDE, 3), 100), np.zeros((SIDE, SIDE))
        image[..., 2] = 10 * ROOMS.index(room)
        y, x = at
        mask[y : y + 8, x : x + 12] = 255
        if with_object:
            image[mask > 0] = 200
        return image, mask

    for label, room in PAIRS:
        for number in NUMBERS:
            at = tuple(rng.integers(0, 20, 2))
            name = f"{label}-{room}-{number}"
            image, mask = view(room, with_object=True, at=at)
            empty, _ = view(room, with_object=False, at=at)
            save(f"obj/{label}/{name}.png", image)
            save(f"scene/{room}/{name}.png", image)
            save(f"scene_only/{room}/{name}.png", empty)
            if number % 1000 >= 900:
                save(f"masks/{label}/{name}.png", mask)
                lines.append(f"{label}/{name}.png {at[1]} {at[0]} {at[1] + 11} {at[0] + 7}")
    for number in range(3):
        image, mask = view("bedroom", with_object=True, at=(2 * number, 5))
        save(f"dog_bedroom/bedroom/dog-{number}.png", image)
        save(f"masks/bedroom/dog-{number}.png", mask)
        lines.append(f"bedroom/dog-{number}.png 5 {2 * number} 16 {2 * number + 7}")
        image, _ = view("bamboo_forest", with_object=True, at=(number, 9))
        empty, _ = view("bamboo_forest", with_object=False, at=(number, 9))
        save(f"bamboo_forest/bamboo_forest/{number}.png", empty)
        save(f"bamboo_forest_patch/bamboo_forest/{number}.png", image)
    (root / "val_loc.txt").write_text("\n".join(lines) + "\n")
    return root


def load(part: str, root: Path, **params: int) -> Data:
    return get("dataset", f"bam_original_{part}").function(**{"seed": 0, "side": 16, **params}, path=str(root))


def test_labels_split_and_masks_of_the_objects(tree: Path):
    data = load("object", tree)
    assert data.class_names == OBJECTS
    assert len(data.train_inputs) == 9
    assert len(data.test_inputs) == 6
    assert sorted(data.test_targets) == sorted([OBJECTS.index("dog")] * 4 + [OBJECTS.index("zebra")] * 2)
    # Exactly the object is brighter than anything else, but for pixels that its edge runs through.
    bright = data.test_inputs[:, 0] > 149 / 255
    assert (bright == data.test_mask).mean() > 0.97
    assert data.test_mask.sum(axis=(1, 2)).min() >= 16
    pair = data.pairs[0]
    colours = np.round(data.test_inputs[:, 2].min(axis=(1, 2)) * 25.5).astype(int)
    assert (pair.labels == colours).all()
    assert (pair.truth == ~data.test_mask).all()
    contrast = pair.data()
    assert contrast.class_names == ROOMS
    assert (contrast.train_inputs == data.train_inputs).all()
    assert (contrast.train_targets == np.round(data.train_inputs[:, 2].min(axis=(1, 2)) * 25.5)).all()


def test_scenes_with_and_without_objects(tree: Path):
    data = load("scene", tree, side=SIDE)
    (pair,) = data.pairs
    differs = (pair.inputs != data.test_inputs).any(axis=1)
    assert (differs == data.test_distractors).all()
    assert (data.test_mask == ~data.test_distractors).all()
    assert (pair.labels == data.test_targets).all()
    assert set(data.test_targets) == {ROOMS.index("bedroom"), ROOMS.index("track")}


def test_forests_come_first_and_are_marked_where_they_are_patched(tree: Path):
    data = load("scene_only", tree, side=SIDE)
    (pair,) = data.pairs
    assert len(pair.inputs) == 3
    assert (data.test_targets[:3] == ROOMS.index("bamboo_forest")).all()
    assert (data.test_distractors[:3].sum(axis=(1, 2)) == 8 * 12).all()
    assert not data.test_distractors[3:].any()
    assert (data.test_inputs[:3, 0][data.test_distractors[:3]] == np.float32(100 / 255)).all()
    assert (pair.inputs[:, 0][data.test_distractors[:3]] == np.float32(200 / 255)).all()


def test_dogs_in_bedrooms(tree: Path):
    data = load("dog_bedroom", tree, side=SIDE)
    assert (data.test_targets == ROOMS.index("bedroom")).all()
    assert data.test_mask.sum(axis=(1, 2)).tolist() == [96, 96, 96]
    assert (data.test_inputs[:, 0][data.test_mask] == np.float32(200 / 255)).all()


def test_images_are_resized_and_their_number_can_be_limited(tree: Path):
    data = load("object", tree, side=8, per_class=1)
    assert data.train_inputs.shape == (2, 3, 8, 8)
    assert sorted(data.train_targets) == [OBJECTS.index("dog"), OBJECTS.index("zebra")]
    assert load("object", tree).fingerprint == load("object", tree).fingerprint
    assert load("object", tree).fingerprint != load("object", tree, seed=1).fingerprint


def test_folders_for_training_and_validation_are_understood(tree: Path, tmp_path: Path):
    for number, side in ((5, "val"), (950, "train")):
        for label in ("dog", "zebra"):
            file = tmp_path / "scene_only" / side / "track" / f"{label}{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            imsave(file, np.full((8, 8, 3), number % 255, dtype=np.uint8), check_contrast=False)
    for name in ("bamboo_forest", "bamboo_forest_patch"):
        (tmp_path / name).symlink_to(tree / name)
    data = load("scene_only", tmp_path)
    assert len(data.test_inputs) == 3 + 2
    assert data.test_inputs[3:].max() == np.float32(5 / 255)


@pytest.mark.parametrize("part", ["object", "scene", "scene_only", "dog_bedroom"])
def test_a_missing_folder_is_one_clear_error(tmp_path: Path, part: str):
    with pytest.raises(DataError, match="there is no folder") as caught:
        load(part, tmp_path / "nowhere")
    assert "github.com/google-research-datasets/bam" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("part", "without", "message"),
    [
        ("object", "scene", "no folder scene"),
        ("object", "masks", "no folder masks"),
        ("object", "val_loc.txt", "no val_loc.txt"),
        ("scene", "scene_only", "no folder scene_only"),
        ("scene_only", "bamboo_forest_patch", "no folder bamboo_forest_patch"),
        ("dog_bedroom", "dog_bedroom", "no folder dog_bedroom"),
    ],
)
def test_a_missing_part_is_named(tree: Path, tmp_path: Path, part: str, without: str, message: str):
    for entry in tree.iterdir():
        if entry.name != without:
            (tmp_path / entry.name).symlink_to(entry)
    with pytest.raises(DataError, match=message) as caught:
        load(part, tmp_path)
    assert caught.value.hint


def test_what_does_not_fit_together_is_found(tree: Path, tmp_path: Path):
    for entry in tree.iterdir():
        if entry.name != "val_loc.txt":
            (tmp_path / entry.name).symlink_to(entry)
    lines = (tree / "val_loc.txt").read_text().splitlines()
    table = tmp_path / "val_loc.txt"
    table.write_text("\n".join(lines[1:]))
    with pytest.raises(DataError, match=r"val_loc.txt has nothing.* for the image"):
        load("object", tmp_path)
    name, *corners = lines[0].split()
    table.write_text("\n".join([" ".join([name, *(str(int(c) + 9) for c in corners)]), *lines[1:]]))
    with pytest.raises(DataError, match=r"is not where val_loc.txt says"):
        load("object", tmp_path)
    table.write_text("\n".join([f"{name} left top", *lines[1:]]))
    with pytest.raises(DataError, match=r"line 1 of .* is not a name with four corners"):
        load("object", tmp_path)
