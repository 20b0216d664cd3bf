"""Tables from files, read in pieces: CSV and TSV, Parquet and Feather; of long ones a sample of rows."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xaibench.core.errors import DataError
from xaibench.core.types import Array

MOST_COLUMNS = 10_000
NUMBERS_PER_PIECE = 2_000_000
"""Numbers of a table that are read at a time."""
MOST_NUMBERS = 50_000_000
"""Numbers of a table that are used; of wide tables fewer rows are drawn than were asked for."""
_LONGEST_HEADER = 2**24
SEPARATORS = {".csv": ",", ".tsv": "\t"}
FramePieces = Callable[[], Iterator[pd.DataFrame]]


@dataclass(frozen=True)
class TableFile:
    """A table as it was read.

    Attributes
    ----------
    frame : DataFrame
        The rows that were taken, in the order of the file; columns are called by texts.
    n_rows : int
        Rows of the file.
    """

    frame: pd.DataFrame
    n_rows: int


def read_table(path: Path, *, rows: int, choose: np.random.Generator) -> TableFile:
    """Read a table; of one with more than ``rows`` rows that many are drawn, and no more than a piece is held.

    At most 50 million numbers are used, whatever ``rows`` is.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv``, ``.parquet`` or ``.feather``.
    rows : int
    choose : numpy.random.Generator
        Draws the rows.

    Raises
    ------
    DataError
        If it is not a table, is empty, has a column twice or more than 10,000 columns.
    """
    suffix = path.suffix.lower()
    pieces = _text_pieces(path, SEPARATORS[suffix]) if suffix in SEPARATORS else _arrow_pieces(path, suffix)
    first = next(iter(pieces()), None)
    if first is not None:
        rows = min(rows, max(1, MOST_NUMBERS // max(1, first.shape[1])))
    n_rows = sum(len(piece) for piece in pieces())
    if n_rows == 0:
        raise DataError(f"{path.name} has no rows")
    if n_rows <= rows:
        return TableFile(pd.concat(list(pieces()), ignore_index=True), n_rows)
    wanted: Array = np.sort(choose.choice(n_rows, size=rows, replace=False))
    found, start = [], 0
    for piece in pieces():
        inside = wanted[(wanted >= start) & (wanted < start + len(piece))] - start
        found.append(piece.iloc[inside])
        start += len(piece)
    return TableFile(pd.concat(found, ignore_index=True), n_rows)


def column_names_of(path: Path) -> list[str]:
    """Names of the columns, without reading the rows."""
    suffix = path.suffix.lower()
    if suffix in SEPARATORS:
        return _header(path, SEPARATORS[suffix])
    return [str(name) for name in _dataset(path, suffix).schema.names]


def _header(path: Path, separator: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(_LONGEST_HEADER)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} cannot be read as text: {error}", "save it as UTF-8") from error
    if "\0" in line:
        raise DataError(f"{path.name} holds NUL bytes, so it is not text", "save it as UTF-8")
    names = next(csv.reader([line], delimiter=separator), [])
    if not names or len(line) == _LONGEST_HEADER:
        raise DataError(f"{path.name} has no line with the names of its columns", "the first line names the columns")
    _check_names(path, names)
    return names


def _check_names(path: Path, names: list[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{path.name} has {len(names):,} columns", f"at most {MOST_COLUMNS:,} are taken")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None) if len(names) < 2000 else None
    if twice is None and len(set(names)) < len(names):
        twice = max(set(names), key=names.count)
    if twice is not None:
        raise DataError(f"{path.name} has two columns called {twice!r}", "rename one of them")


def _text_pieces(path: Path, separator: str) -> FramePieces:
    """Pieces of a CSV file, in which a column has one type throughout."""
    names = _header(path, separator)
    size = max(100, NUMBERS_PER_PIECE // len(names))
    text: set[str] = set()

    def read(as_text: set[str]) -> Iterator[pd.DataFrame]:
        types = dict.fromkeys(as_text, str)
        try:
            with pd.read_csv(
                path, sep=separator, chunksize=size, dtype=types, encoding="utf-8-sig", encoding_errors="strict"
            ) as reader:
                for piece in reader:
                    piece.columns = [str(name) for name in piece.columns]
                    yield piece
        except (ValueError, OSError) as error:
            said = str(error).partition("\n")[0].strip()
            raise DataError(f"{path.name} cannot be read: {said}", "the first line names the columns") from error

    first_look, several = None, False
    for piece in read(set()):
        if not isinstance(piece.index, pd.RangeIndex) or list(piece.columns) != names:
            raise DataError(
                f"{path.name} has rows with more values than there are names of columns", "name every column"
            )
        several, first_look = first_look is not None, piece
        text |= {name for name in names if not pd.api.types.is_numeric_dtype(piece[name])}
        text |= {name for name in names if pd.api.types.is_bool_dtype(piece[name])} if several else set()
    if not several:
        # All of it was seen at once: its types are those of the whole column.
        return lambda: iter([] if first_look is None else [first_look])
    return lambda: read(text)


def _dataset(path: Path, suffix: str) -> Any:
    import pyarrow as pa
    import pyarrow.dataset

    try:
        found = pa.dataset.dataset(str(path), format=suffix.removeprefix("."))
        _check_names(path, [str(name) for name in found.schema.names])
    except (pa.ArrowException, OSError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise DataError(f"{path.name} cannot be read as {suffix.removeprefix('.')}: {said}") from error
    return found


def _arrow_pieces(path: Path, suffix: str) -> FramePieces:
    import pyarrow as pa

    found = _dataset(path, suffix)
    names = [str(name) for name in found.schema.names]
    if not names:
        raise DataError(f"{path.name} has no columns")

    def read() -> Iterator[pd.DataFrame]:
        try:
            for batch in found.to_batches(batch_size=max(100, NUMBERS_PER_PIECE // len(names))):
                yield pa.Table.from_batches([batch]).to_pandas(ignore_metadata=True)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path.name} is damaged: {error}") from error

    return read
