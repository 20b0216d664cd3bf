"""Explanations from files: maps that another tool made of the samples of a problem, found by the ids of their rows."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from xaibench.core.component_files import SourceFile, of_file, reads_files
from xaibench.core.components import ATTRIBUTION_KINDS, AttributionKind, Component, ExplainerSpec
from xaibench.core.errors import DataError, UsageError, did_you_mean
from xaibench.core.features import FeatureLayout
from xaibench.core.problem import ProblemView
from xaibench.core.types import Array
from xaibench.core.zip_archives import check_zip

BESIDE = ("row_ids", "targets", "foils", "kind", "seconds", "feature_names")
"""Arrays of an npz file that are not maps."""
MOST_WRONG_TARGETS = 0.01
MOST_MISSING = 0.5
SUMMED, AS_GIVEN = "sum", "as given"
"""What the column ``channels`` of a row says of maps with an axis of channels, and of those without."""
SuiteKind = Literal["", "slope", "contribution", "saliency"]


@dataclass(frozen=True)
class StoredMaps:
    """Maps as a file has them.

    Attributes
    ----------
    maps : array (M, ...)
    row_ids : tuple of str
        What they are maps of; empty where the file does not say.
    targets : array (M,) or None
        The outputs that were explained.
    foils : array (M,) or None
        The outputs that they were contrasted with.
    feature_names : tuple of str
        Of the features, in the order of the maps; empty where the file does not say.
    """

    maps: Array
    row_ids: tuple[str, ...]
    targets: Array | None
    foils: Array | None = None
    feature_names: tuple[str, ...] = ()


@reads_files("explainer", ".npz", ".parquet")
def stored_maps(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The explainer of a file with maps; it shows them and cannot make others."""
    stated = _stated_kind(file.path) or "saliency"
    kind = cast(AttributionKind, str(params.get("kind") or stated))

    def show(problem: ProblemView, *, array: str = "", kind: SuiteKind = "", order: Literal["", "test"] = "") -> Tensor:
        """Maps from a file.

        Parameters
        ----------
        array : str
            Name of the array with the maps; by default ``attributions``, or that of the problem, ``dataset/model``.
        kind : {"slope", "contribution", "saliency"}
            What the numbers mean, instead of what the file says; ``saliency`` where nothing does.
        order : {"test"}
            Says that a file without row ids has a map for every selected sample, in their order.
        """
        return stored_maps_of(problem, read_maps(file.path, array, problem.problem), file.name, order)

    def channels(problem: ProblemView, *, array: str = "", kind: SuiteKind = "", order: str = "") -> str:
        return channels_of(read_maps(file.path, array, problem.problem).maps.shape, problem.layout)

    return ExplainerSpec(file.name, of_file(show, file), attribution_kind=kind, stored=True, channels_used=channels)


def map_names(path: Path) -> list[str]:
    """Names of the arrays of an npz file that may be maps."""
    found = [member.filename.removesuffix(".npy") for member in check_zip(path)]
    return [name for name in found if name not in BESIDE]


def has_row_ids(path: Path) -> bool:
    """Whether an npz file says which samples its maps are of."""
    return "row_ids.npy" in {member.filename for member in check_zip(path)}


def read_maps(path: Path, array: str, problem: str) -> StoredMaps:
    """Maps of one problem from an npz or Parquet file; nothing is unpickled.

    Parameters
    ----------
    path : Path
    array : str
        Name of an array; empty for ``attributions``, or what is called like the problem.
    problem : str
        ``dataset/model``.

    Raises
    ------
    DataError
        If the file is damaged, or has no such maps.
    """
    if path.suffix.lower() == ".parquet":
        return _from_parquet(path)
    known = map_names(path)
    wanted = array or next((name for name in (problem, "attributions") if name in known), "")
    if not wanted or wanted not in known:
        raise DataError(
            f"{path.name} has no array {array or 'attributions'!r}; it has {', '.join(known) or 'none'}",
            did_you_mean(array, known) if array else 'params = { array = "..." } names the maps',
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            maps = archive[wanted]
            ids = archive["row_ids"] if "row_ids" in archive.files else np.array([], dtype=str)
            targets, foils = (archive[n] if n in archive.files else None for n in ("targets", "foils"))
            names = archive["feature_names"] if "feature_names" in archive.files else np.array([], dtype=str)
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        why = "it holds Python objects, which can run code" if "pickle" in str(error) else str(error)
        raise DataError(f"{path.name} cannot be read: {why}", "store arrays of numbers, and ids as texts") from error
    if maps.dtype.kind not in "biuf":
        raise DataError(f"array {wanted!r} of {path.name} is {maps.dtype}, not numbers")
    called = tuple(map(str, names.reshape(-1).tolist()))
    return StoredMaps(maps, tuple(map(str, ids.reshape(-1).tolist())), targets, foils, called)


def _from_parquet(path: Path) -> StoredMaps:
    """Wide: a row_id and a column per feature; long: row_id, feature, value."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        frame = pa.parquet.read_table(path).to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} cannot be read as Parquet: {str(error).partition(chr(10))[0]}") from error
    if "row_id" not in frame.columns:
        raise DataError(f"{path.name} has no column row_id", "`xaibench export` writes the ids of the rows")
    frame["row_id"] = frame["row_id"].astype(str)
    if {"feature", "value"} <= set(frame.columns):
        order = list(dict.fromkeys(frame["feature"]))
        if frame.duplicated(["row_id", "feature"]).any():
            raise DataError(f"{path.name} has two values for one feature of a row")
        # Numbered features have their own order, whatever that of the file.
        order = sorted(order) if all(isinstance(f, (int, np.integer)) for f in order) else order
        wide = frame.pivot(index="row_id", columns="feature", values="value")[order]
        return StoredMaps(wide.to_numpy(np.float64), tuple(wide.index), None, None, tuple(map(str, order)))
    values = frame.drop(columns=[c for c in ("row_id", "target", "foil") if c in frame.columns])
    wrong = [c for c in values.columns if values[c].dtype.kind not in "biuf"]
    if wrong:
        raise DataError(f"column {wrong[0]!r} of {path.name} holds no numbers")
    targets, foils = (frame[c].to_numpy() if c in frame.columns else None for c in ("target", "foil"))
    called = tuple(map(str, values.columns))
    return StoredMaps(values.to_numpy(np.float64), tuple(frame["row_id"]), targets, foils, called)


def _stated_kind(path: Path) -> str:
    """What an npz file says that its numbers mean; empty where it does not."""
    if path.suffix.lower() != ".npz" or "kind.npy" not in {m.filename for m in check_zip(path)}:
        return ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            kind = str(archive["kind"].reshape(-1)[0])
    except (ValueError, OSError, IndexError) as error:
        raise DataError(f"kind in {path.name} cannot be read: {error}") from error
    if kind not in ATTRIBUTION_KINDS:
        raise UsageError(f"{path.name} holds maps of an unknown kind {kind!r}", did_you_mean(kind, ATTRIBUTION_KINDS))
    return kind


def stored_maps_of(problem: ProblemView, stored: StoredMaps, name: str, order: str) -> Tensor:
    """Maps (N, *features) of the samples, NaN for those that the file does not have.

    Raises
    ------
    UsageError
        If the file is about other samples, other targets or other features.
    """
    rows = _rows(problem, stored, name, order)
    there = rows >= 0
    if (~there).mean() > MOST_MISSING:
        foreign = len(stored.row_ids) - int(there.sum())
        if foreign:
            raise UsageError(
                f"{foreign} of {len(stored.row_ids)} rows of {name} are not of this problem",
                "its ids must be those of the samples; `xaibench export` writes them",
            )
        raise UsageError(
            f"{name} has maps of {int(there.sum())} of {len(rows)} samples",
            "more than half are missing: is it about another selection?",
        )
    _check_targets(problem, stored, rows, name)
    maps = in_order(summed(stored.maps, problem.layout, name), stored.feature_names, problem.feature_names, name)
    found = np.full((len(rows), *problem.layout.feature_shape), np.nan, np.float32)
    found[there] = maps[rows[there]]
    return torch.from_numpy(found).to(problem.inputs.device)


def _rows(problem: ProblemView, stored: StoredMaps, name: str, order: str) -> Array:
    """Row of the file for every sample, -1 where there is none."""
    n = len(problem)
    if not stored.row_ids:
        if order != "test" or len(stored.maps) != n:
            raise UsageError(
                f"{name} does not say which samples its {len(stored.maps)} maps are of (the problem has {n})",
                'add row_ids, which `xaibench export` writes; or say params = { order = "test" } if it has a map for '
                "every sample, in their order",
            )
        return np.arange(n)
    if len(stored.row_ids) != len(stored.maps):
        raise DataError(f"{name} has {len(stored.maps)} maps and {len(stored.row_ids)} row_ids")
    if len(set(stored.row_ids)) < len(stored.row_ids):
        raise DataError(f"{name} has two maps of one row")
    place = {row_id[:16]: i for i, row_id in enumerate(stored.row_ids)}
    known = [digest.hex()[:16] for digest in problem.digests]
    return np.array([place.get(one, -1) for one in known])


def _check_targets(problem: ProblemView, stored: StoredMaps, rows: Array, name: str) -> None:
    """Raise UsageError where the file says that it explains something else: another output, or against another one."""
    if stored.targets is None and stored.foils is None:
        return
    contrasts = [one for one, foils in (("the problem", problem.foils), (name, stored.foils)) if foils is not None]
    if len(contrasts) == 1:
        other = name if contrasts[0] != name else "the problem"
        raise UsageError(
            f"{contrasts[0]} contrasts every target with a foil, and {other} explains single outputs",
            "explain the targets, and the foils where there are any, that `xaibench export` writes",
        )
    for array, verb, given, explained in (
        ("targets", "explains", stored.targets, problem.targets),
        ("foils", "contrasts with", stored.foils, problem.foils),
    ):
        if given is None or explained is None:
            continue
        if len(given) != len(stored.maps):
            raise DataError(f"{name} has {len(stored.maps)} maps and {len(given)} {array}")
        there = rows >= 0
        wrong = int((given.reshape(-1)[rows[there]] != explained.cpu().numpy()[there]).sum())
        if wrong > MOST_WRONG_TARGETS * there.sum():
            raise UsageError(
                f"{name} {verb} another output than the problem in {wrong} of {int(there.sum())} samples",
                "explain the targets that `xaibench export` writes",
            )


def in_order(maps: Array, names: Sequence[str], features: Sequence[str], file: str) -> Array:
    """Maps (M, ...) whose features are in the order of the problem, where the file names them as the problem does.

    Names that have nothing in common with those of the features say nothing about the order.

    Parameters
    ----------
    maps : array (M, ...)
    names, features : sequence of str
        Of the features in the file, and of those of the problem; either may be empty.
    file : str
        For messages.

    Raises
    ------
    UsageError
        If only some of the names are those of features.

    Examples
    --------
    >>> import numpy as np
    >>> from xaibench.explainers.stored_maps import in_order
    >>> in_order(np.array([[1.0, 2.0]]), ["sex", "age"], ["age", "sex"], "maps.npz").tolist()
    [[2.0, 1.0]]
    """
    if maps.shape[1:] != (len(features),) or len(names) != len(features) or not set(names) & set(features):
        return maps
    if sorted(names) != sorted(features):
        odd = next((name for name in features if name not in names), None) or features[0]
        raise UsageError(
            f"{file} names some features as the problem does, but not {odd!r}", "name all features, each once, or none"
        )
    found: Array = maps[:, [list(names).index(name) for name in features]]
    return found


def summed(maps: Array, layout: FeatureLayout, name: str) -> Array:
    """Maps with one number per feature: an axis of channels is summed.

    Raises
    ------
    UsageError
        If their shape is not that of the features.
    """
    if maps.shape[1:] == layout.feature_shape:
        return maps
    axis = layout.channel_axis(maps.shape)
    if axis is None:
        raise UsageError(
            f"maps of {name} have shape {maps.shape[1:]}, the features {layout.feature_shape}",
            "one number per feature; for images one per pixel, or one per channel and pixel",
        )
    found: Array = maps.sum(axis=axis)
    return found


def channels_of(shape: Sequence[int], layout: FeatureLayout) -> str:
    """What became of the channels, as a row says it."""
    if layout.one_number_each:
        return "none"
    return AS_GIVEN if tuple(shape[1:]) == layout.feature_shape else SUMMED
