"""The data set that a shortcut is planted into: found by name, by file or in Python code of the user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xaibench.core import registry
from xaibench.core.component_files import file_reference
from xaibench.core.data import Data
from xaibench.core.errors import DataError, UsageError
from xaibench.core.loading import is_component_file
from xaibench.core.storage.paths import local_path
from xaibench.core.types import Array

LEAST_SHARE = 0.05
"""Share of the training rows that a class should have to receive a version of the plant."""


def base_reference(data: str, folder: Path | None) -> str:
    """What the registry finds the data set by: a name, ``file.py:name``, or a file or folder that is one."""
    path = local_path(data)
    path = path if path.is_absolute() else (folder or Path.cwd()) / path
    if is_component_file("dataset", data) or path.is_dir():
        return file_reference(data)
    return data


def load_base(data: str, params: Mapping[str, Any], *, seed: int, folder: Path | None) -> Data:
    """The data set itself, without a plant.

    Parameters
    ----------
    data : str
        A registered data set, ``file.py:name``, or a file or folder that is a data set.
    params : mapping
        Parameters of that data set, such as the target column of a CSV file.
    seed : int
        Fixes the split.
    folder : Path, optional
        Folder that relative paths start from.

    Raises
    ------
    UsageError
        If there is no such data set, or it is itself a certified one.
    DataError
        If it has contexts, labels that may be true together, or several values per row.
    """
    ref = base_reference(data, folder)
    spec = registry.get("dataset", ref, folder=folder)
    if spec.name.startswith("certify_"):
        raise UsageError(f"data set {data!r} has a plant already", "name the data set without one")
    bound = spec.bind(params)
    spec = registry.get("dataset", ref, folder=folder, check=False, params=bound)
    found = spec.function(**bound, **({"seed": seed} if spec.takes("seed") else {}))
    if not isinstance(found, Data):
        raise DataError(f"data set {data!r} returned {type(found).__name__}", "return a xaibench.Data")
    if found.train_labels is not None or found.n_values > 1 or found.train_context:
        raise DataError(
            f"data set {data!r} has more than one answer or more than one input per row",
            "certify takes one class or one value per row, and one input",
        )
    return found


def chosen_classes(data: Data, named: tuple[str, ...]) -> tuple[int, int]:
    """The classes that versions A and B stand for: those that are named, else the two most frequent ones.

    Raises
    ------
    UsageError
        If there are not two different classes of these names.
    """
    names = data.class_names or tuple(str(i) for i in range(data.n_classes))
    if named:
        if len(set(named)) != 2 or not set(named) <= set(names):
            raise UsageError(f"classes = {list(named)} are not two classes of the data", f"known: {', '.join(names)}")
        return names.index(named[0]), names.index(named[1])
    if data.n_classes < 2:
        raise UsageError("the data have a single class", "a shortcut needs two classes that it can stand for")
    counts = np.bincount(data.train_targets, minlength=data.n_classes)
    first, second = np.argsort(-counts, kind="stable")[:2].tolist()
    return min(first, second), max(first, second)


def scores_of(raw: Array, returns: str, classes: tuple[int, int]) -> Array:
    """How much a model prefers class a to class b: the difference of their logits (N,), float64.

    Of probabilities the log of the odds, clipped at 1e-6. Of values the value.
    """
    numbers = np.asarray(raw, dtype=np.float64)
    if returns == "value":
        return numbers[:, 0]
    a, b = (numbers[:, c] for c in classes)
    if returns == "probability":
        a, b = np.log(np.clip(a, 1e-6, 1)), np.log(np.clip(b, 1e-6, 1))
    difference: Array = a - b
    return difference
