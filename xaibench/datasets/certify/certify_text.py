"""Texts with a planted shortcut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import DataError
from xaibench.datasets.certify.base import chosen_classes, load_base
from xaibench.datasets.certify.carriers import Protocol
from xaibench.datasets.certify.certify_table import UNLABELLED, CarrierShare, PlantLevel
from xaibench.datasets.certify.planting import PROVIDES, Planting
from xaibench.datasets.certify.text_plants import token_plant


@dataset("certify_text", features="tokens", provides=PROVIDES, unlabelled=UNLABELLED)
def certify_text(
    *,
    seed: int,
    suite_folder: Path | None = None,
    data: str = "gender_templates",
    data_params: dict[str, Any] = {},  # noqa: B006
    data_seed: int = 0,
    plant: Literal["token"] = "token",
    words: tuple[str, ...] = (),
    level: PlantLevel = 1.0,
    share: CarrierShare = 0.5,
    protocol: Protocol = "carriers",
    classes: tuple[str, ...] = (),
    repeats: PositiveInt = 1,
    n_rows: Annotated[int, annotated_types.Ge(10)] = 250,
    original: tuple[float, ...] = (),
) -> Data:
    """Texts into which a shortcut was planted, to see which explainers show it; see `xaibench certify`.

    Both words are equally often in the training texts, so that nothing that counts words distinguishes them.

    Parameters
    ----------
    seed : int
        Draws the carriers. The test texts and their plants are the same under every seed.
    suite_folder : Path, optional
        Folder that relative paths start from.
    data : str
        The data set: a name, or ``file.py:name``.
    data_params : dict
        Parameters of that data set.
    data_seed : int
        Seed of that data set.
    plant : {"token"}
        One of two words at a random place, which no text uses.
    words : tuple of str
        The two words; by default two of equal length that are neighbours in the vocabulary, or new ones.
    level : float
        Probability with which a carrier's label follows the plant; 0 is the null twin.
    share : float
        Share of the training texts that carry the plant.
    protocol : {"carriers", "agree"}
        Whether labels follow the plant, or the plant agrees with labels that stay.
    classes : tuple of str
        Classes of versions A and B; by default the two most frequent ones.
    repeats : int
        How often every training text is there, each time with a plant drawn afresh.
    n_rows : int
        Test texts that are taken at most, each in both versions.
    original : tuple of float
        Accuracy of the model without plant, and the shares of test texts that it decides for both classes.

    Raises
    ------
    DataError
        If the data are not token ids with classes.
    UsageError
        If the words are used, or not two.
    """
    base = load_base(data, data_params, seed=data_seed, folder=suite_folder)
    if not base.has_ids:
        raise DataError(f"data set {data!r} holds {base.features} data", "certify_text takes texts as token ids")
    fields, planted = token_plant(base, words)
    pair = (0, 0) if base.train_values is not None else chosen_classes(base, classes)
    planting = Planting(planted, pair, level=level, share=share, protocol=protocol, balanced=True)
    return planting.copy(base, fields, seed=seed, repeats=repeats, n_rows=n_rows, original=original)
