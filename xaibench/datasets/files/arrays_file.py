"""A data set that is an npz file of arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xaibench.core.axes import could_be
from xaibench.core.component_files import SourceFile, of_file, reads_files
from xaibench.core.components import Component
from xaibench.core.data import Data
from xaibench.core.data_specs import DatasetSpec
from xaibench.core.errors import DataError, UsageError, did_you_mean
from xaibench.core.features import FeatureKind
from xaibench.core.types import Array
from xaibench.core.zip_archives import check_zip
from xaibench.datasets.files.parameters import TestShare, default_floor
from xaibench.datasets.splits import generator
from xaibench.datasets.splits import split as draw_split

SPLIT = ("train_inputs", "train_targets", "test_inputs", "test_targets")
WHOLE = ("inputs", "targets")
OPTIONAL = ("test_mask", "mask", "feature_names", "class_names", "groups")


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of an npz file, from their headers.

    Raises
    ------
    DataError
        If it is not an npz file, or one of its arrays holds Python objects.
    """
    members = check_zip(path)
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in members:
            name = member.filename
            if not name.endswith(".npy"):
                raise DataError(f"{path.name} has a member {name!r}, which is not an array")
            with archive.open(member) as file:
                try:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(file)
                except (ValueError, EOFError, OSError) as error:
                    raise DataError(f"array {name!r} of {path.name} is damaged: {error}") from error
            if dtype.hasobject:
                raise DataError(
                    f"array {name.removesuffix('.npy')!r} of {path.name} holds Python objects: pickles, which "
                    "can run code",
                    "store numbers, or texts as numpy's str",
                )
            found[name.removesuffix(".npy")] = tuple(shape)
    return found


def read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of an npz file; nothing is unpickled.

    Raises
    ------
    DataError
        As `shapes_of`, or if an array is shorter than its header says.
    """
    shapes = shapes_of(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in shapes}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} is damaged: {error}") from error


@reads_files("dataset", ".npz")
def arrays_file(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The data set of an npz file; its headers say what is in it."""
    shapes = shapes_of(file.path)

    def read(
        *,
        seed: int,
        features: Literal["", "image", "volume", "table", "series", "tokens"] = "",
        axes: str = "",
        test: TestShare = 0.3,
        regression: bool = False,
        accuracy_floor: float | None = None,
    ) -> Data:
        """Arrays of an npz file.

        Parameters
        ----------
        features : {"image", "volume", "table", "series", "tokens"}, optional
            What the axes of the inputs mean; required where their shape leaves doubt.
        axes : {"NTC", "NCT"}, optional
            Order of the axes of a series.
        test : float
            Share of the rows that are test rows, where the file does not say which ones are.
        regression : bool
            Whether targets are values, also where they are whole numbers.
        accuracy_floor : float, optional
            By default the share of the most frequent class in the test rows, plus .02; of regressions .02.
        """
        arrays = _checked(read_arrays(file.path), file.name)
        if "inputs" in arrays:
            arrays = _divided(arrays, test, seed)
        targets = {side: arrays[f"{side}_targets"] for side in ("train", "test")}
        values = regression or any(t.dtype.kind == "f" and bool((t != np.rint(t)).any()) for t in targets.values())
        floor = default_floor(None if values else targets["test"]) if accuracy_floor is None else accuracy_floor
        numbers = {side: t.reshape(len(t)).astype(np.float32) for side, t in targets.items()} if values else {}
        zeros = {side: np.zeros(len(t), np.int64) for side, t in targets.items()}
        return Data(
            features=_features(file.name, features, shapes),
            train_inputs=arrays["train_inputs"],
            train_targets=zeros["train"] if values else targets["train"],
            test_inputs=arrays["test_inputs"],
            test_targets=zeros["test"] if values else targets["test"],
            feature_names=tuple(map(str, arrays.get("feature_names", ()))),
            class_names=tuple(map(str, arrays.get("class_names", ()))),
            test_mask=None if "test_mask" not in arrays else arrays["test_mask"] != 0,
            accuracy_floor=floor,
            train_values=numbers.get("train"),
            test_values=numbers.get("test"),
            axes=axes,
            facts={"file": file.sha256},
        )

    provides = {"truth.mask"} if {"test_mask", "mask"} & set(shapes) else set()
    kind = _features(file.name, str(params.get("features", "")), shapes) if params else "table"
    return DatasetSpec(file.name, of_file(read, file), features=kind, provides=frozenset(provides))


def _checked(arrays: dict[str, Array], name: str) -> dict[str, Array]:
    """The arrays, if they are those of a data set."""
    wanted = SPLIT if "train_inputs" in arrays else WHOLE
    for one in wanted:
        if one not in arrays:
            raise DataError(
                f"{name} has no array {one!r}; it has {', '.join(arrays) or 'none'}",
                "a data set has inputs and targets, or train_inputs, train_targets, test_inputs and test_targets",
            )
    unknown = [one for one in arrays if one not in (*wanted, *OPTIONAL)]
    if unknown:
        raise DataError(f"{name} has an array {unknown[0]!r}, which is unknown", did_you_mean(unknown[0], OPTIONAL))
    for one in wanted:
        if arrays[one].ndim == 0 or len(arrays[one]) == 0:
            raise DataError(f"array {one!r} of {name} is empty")
    return arrays


def _divided(arrays: dict[str, Array], share: float, seed: int) -> dict[str, Array]:
    """Both sides of a split that is drawn; rows of one group stay on one side."""
    inputs, targets = arrays["inputs"], arrays["targets"]
    if len(inputs) != len(targets):
        raise DataError(f"there are {len(inputs)} inputs and {len(targets)} targets")
    together = arrays.get("groups", inputs)
    labels = np.zeros(len(targets), int) if targets.dtype.kind == "f" else np.unique(targets, return_inverse=True)[1]
    train, test = draw_split(together, labels.reshape(-1), share, generator("split of a file", seed))
    if not (len(train) and len(test)):
        raise DataError("the split leaves no train or no test rows", "give more rows")
    found: dict[str, Array] = {n: arrays[n] for n in ("feature_names", "class_names") if n in arrays}
    for side, rows in (("train", train), ("test", test)):
        found |= {f"{side}_inputs": inputs[rows], f"{side}_targets": targets[rows]}
    mask = arrays.get("mask", arrays.get("test_mask"))
    if mask is not None:
        if len(mask) != len(inputs):
            raise DataError(f"there are {len(inputs)} inputs and {len(mask)} masks")
        found["test_mask"] = mask[test]
    return found


def _features(name: str, said: str, shapes: Mapping[str, tuple[int, ...]]) -> FeatureKind:
    """What the axes of the inputs mean.

    Raises
    ------
    UsageError
        If the shape leaves doubt.
    """
    if said:
        return said  # type: ignore[return-value]
    shape = shapes.get("train_inputs", shapes.get("inputs", ()))[1:]
    if len(shape) == 1:
        return "table"
    if len(shape) == 3 and shape[0] in (1, 3):
        return "image"
    raise UsageError(
        f"inputs of {name} have shape (N, {', '.join(map(str, shape))}), which could be several things",
        f'params = {{ features = "image" }}, or what it is; {could_be(shape)}',
    )
