"""A table with a planted shortcut."""

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
from xaibench.datasets.certify.planting import PROVIDES, Planting
from xaibench.datasets.certify.table_plants import TablePlantName, category, new_column, new_pair, overwritten

PlantLevel = Annotated[float, annotated_types.Ge(0), annotated_types.Le(1)]
CarrierShare = Annotated[float, annotated_types.Gt(0), annotated_types.Lt(1)]
UNLABELLED = frozenset({"data_params", "data_seed", "original", "n_rows"})
"""Parameters that the names of problems do not show."""


@dataset("certify_table", features="table", provides=PROVIDES, unlabelled=UNLABELLED)
def certify_table(
    *,
    seed: int,
    suite_folder: Path | None = None,
    data: str = "breast_cancer",
    data_params: dict[str, Any] = {},  # noqa: B006
    data_seed: int = 0,
    plant: TablePlantName = "new",
    column: str = "",
    level: PlantLevel = 1.0,
    share: CarrierShare = 0.5,
    protocol: Protocol = "carriers",
    classes: tuple[str, ...] = (),
    n_rows: PositiveInt = 400,
    original: tuple[float, ...] = (),
) -> Data:
    """A table into which a shortcut was planted, to see which explainers show it; see `xaibench certify`.

    Parameters
    ----------
    seed : int
        Draws the carriers. The test rows and their plants are the same under every seed.
    suite_folder : Path, optional
        Folder that relative paths start from.
    data : str
        The data set: a name, ``file.py:name``, or a file.
    data_params : dict
        Parameters of that data set, such as the target column of a file.
    data_seed : int
        Seed of that data set.
    plant : {"new", "overwrite", "category", "pair"}
        A column of its own, a column of numbers, a category, or two columns whose signs multiply.
    column : str
        Column that is overwritten; by default the one that has least to do with the target.
    level : float
        Probability with which a carrier's label follows the plant; 0 is the null twin.
    share : float
        Share of the training rows that carry the plant.
    protocol : {"carriers", "agree"}
        Whether labels follow the plant, or the plant agrees with labels that stay.
    classes : tuple of str
        Classes of versions A and B; by default the two most frequent ones.
    n_rows : int
        Test rows that are taken at most, each in both versions.
    original : tuple of float
        Accuracy of the model without plant, and the shares of test rows that it decides for both classes.
    """
    base = load_base(data, data_params, seed=data_seed, folder=suite_folder)
    if base.features != "table":
        raise DataError(f"data set {data!r} holds {base.features} data", "certify_table takes tables")
    if plant in ("new", "pair"):
        fields, planted = new_column(base) if plant == "new" else new_pair(base)
    else:
        fields, planted = {}, (overwritten if plant == "overwrite" else category)(base, column)
    pair = (0, 0) if base.train_values is not None else chosen_classes(base, classes)
    planting = Planting(planted, pair, level=level, share=share, protocol=protocol)
    return planting.copy(base, fields, seed=seed, n_rows=n_rows, original=original)
