"""Images with a planted shortcut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import annotated_types
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError
from xaibench.datasets.certify.base import chosen_classes, load_base
from xaibench.datasets.certify.carriers import Protocol
from xaibench.datasets.certify.certify_table import UNLABELLED, CarrierShare, PlantLevel
from xaibench.datasets.certify.image_plants import ImagePlantName, image_plant
from xaibench.datasets.certify.planting import PROVIDES, Planting


@dataset("certify_image", features="image", provides=PROVIDES, unlabelled=UNLABELLED)
def certify_image(
    *,
    seed: int,
    suite_folder: Path | None = None,
    data: str = "digits",
    data_params: dict[str, Any] = {},  # noqa: B006
    data_seed: int = 0,
    plant: ImagePlantName = "patch",
    side: Annotated[int, annotated_types.Ge(0)] = 0,
    contrast: Annotated[float, annotated_types.Ge(0), annotated_types.Le(1)] = 0.0,
    level: PlantLevel = 1.0,
    share: CarrierShare = 0.5,
    protocol: Protocol = "carriers",
    classes: tuple[str, ...] = (),
    repeats: PositiveInt = 8,
    n_rows: PositiveInt = 250,
    original: tuple[float, ...] = (),
) -> Data:
    """Images into which a shortcut was planted, to see which explainers show it; see `xaibench certify`.

    Parameters
    ----------
    seed : int
        Draws the carriers. The test images and their plants are the same under every seed.
    suite_folder : Path, optional
        Folder that relative paths start from.
    data : str
        The data set: a name, ``file.py:name``, or a folder with one folder per class.
    data_params : dict
        Parameters of that data set.
    data_seed : int
        Seed of that data set.
    plant : {"patch", "texture", "tint"}
        A checker or stripes at a random place, faint gratings there, or the brightness of one channel.
    side : int
        Pixels along a side of the square; 0: an eighth of the image's side, at least 3, for a texture a quarter.
    contrast : float
        Weight of the plant against the pixels underneath; 0: 1, and .3 for a texture and a tint.
    level : float
        Probability with which a carrier's label follows the plant; 0 is the null twin.
    share : float
        Share of the training rows that carry the plant.
    protocol : {"carriers", "agree"}
        Whether labels follow the plant, or the plant agrees with labels that stay.
    classes : tuple of str
        Classes of versions A and B; by default the two most frequent ones.
    repeats : int
        How often every training image is there, each time with a plant drawn afresh: networks learn a place by heart
        where there is only one.
    n_rows : int
        Test images that are taken at most, each in both versions.
    original : tuple of float
        Accuracy of the model without plant, and the shares of test rows that it decides for both classes.
    """
    base = load_base(data, data_params, seed=data_seed, folder=suite_folder)
    if base.features != "image":
        raise DataError(f"data set {data!r} holds {base.features} data", "certify_image takes images")
    planted = image_plant(base, plant, side=side, contrast=contrast)
    pair = (0, 0) if base.train_values is not None else chosen_classes(base, classes)
    planting = Planting(planted, pair, level=level, share=share, protocol=protocol)
    return planting.copy(base, seed=seed, repeats=repeats, n_rows=n_rows, original=original)
