"""Series with a planted shortcut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError
from xaibench.datasets.certify.base import chosen_classes, load_base
from xaibench.datasets.certify.carriers import Protocol
from xaibench.datasets.certify.certify_table import UNLABELLED, CarrierShare, PlantLevel
from xaibench.datasets.certify.planting import PROVIDES, Planting
from xaibench.datasets.certify.series_plants import bump_plant


@dataset("certify_series", features="series", provides=PROVIDES, unlabelled=UNLABELLED)
def certify_series(
    *,
    seed: int,
    suite_folder: Path | None = None,
    data: str = "leakage_blocks",
    data_params: dict[str, Any] = {},  # noqa: B006
    data_seed: int = 0,
    plant: Literal["bump"] = "bump",
    steps: NonNegativeInt = 0,
    height: PositiveFloat = 3.0,
    sensor: NonNegativeInt = 0,
    level: PlantLevel = 1.0,
    share: CarrierShare = 0.5,
    protocol: Protocol = "carriers",
    classes: tuple[str, ...] = (),
    repeats: PositiveInt = 4,
    n_rows: Annotated[int, annotated_types.Ge(10)] = 250,
    original: tuple[float, ...] = (),
) -> Data:
    """Series into which a shortcut was planted, to see which explainers show it; see `xaibench certify`.

    Parameters
    ----------
    seed : int
        Draws the carriers. The test rows and their plants are the same under every seed.
    suite_folder : Path, optional
        Folder that relative paths start from.
    data : str
        The data set: a name, ``file.py:name``, or a file.
    data_params : dict
        Parameters of that data set.
    data_seed : int
        Seed of that data set.
    plant : {"bump"}
        Half a sine wave at a random place, upwards or downwards.
    steps : int
        Steps of the bump; 0: a sixteenth of the series, at least 3.
    height : float
        Its height in standard deviations of the sensor.
    sensor : int
        The sensor that it is on, counted from 0.
    level : float
        Probability with which a carrier's label follows the plant; 0 is the null twin.
    share : float
        Share of the training rows that carry the plant.
    protocol : {"carriers", "agree"}
        Whether labels follow the plant, or the plant agrees with labels that stay.
    classes : tuple of str
        Classes of versions A and B; by default the two most frequent ones.
    repeats : int
        How often every training row is there, each time with a plant drawn afresh.
    n_rows : int
        Test rows that are taken at most, each in both versions.
    original : tuple of float
        Accuracy of the model without plant, and the shares of test rows that it decides for both classes.
    """
    base = load_base(data, data_params, seed=data_seed, folder=suite_folder)
    if base.features != "series":
        raise DataError(f"data set {data!r} holds {base.features} data", "certify_series takes series")
    planted = bump_plant(base, steps=steps, height=height, sensor=sensor)
    pair = (0, 0) if base.train_values is not None else chosen_classes(base, classes)
    planting = Planting(planted, pair, level=level, share=share, protocol=protocol)
    return planting.copy(base, seed=seed, repeats=repeats, n_rows=n_rows, original=original)
