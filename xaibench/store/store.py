"""The store: results of any number of runs, crash-safe and without locks."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from xaibench.core.errors import StoreError
from xaibench.core.storage.paths import Location, parse_location
from xaibench.store import generations
from xaibench.store.checking import Damage, Examination, damage, examine
from xaibench.store.collecting import YOUNG, Garbage, collect, garbage
from xaibench.store.examples import Examples, StoredCurve, StoredExamples
from xaibench.store.explanations import AttributionFiles, Interpretations
from xaibench.store.files import files_of
from xaibench.store.merging import Merged, merge
from xaibench.store.runs import Runs, coverage
from xaibench.store.schema import Row, to_table
from xaibench.store.select import best_rows
from xaibench.store.tables import sealed, to_bytes

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

MARK = "store.json"
_MARK = {"format": "xaibench-store", "version": 1}


class Store:
    """Results of any number of runs, in a folder or behind a URL of fsspec.

    Layout: ``parts/`` (immutable Parquet files of finished cells), ``compact/`` (generations of
    merged parts), ``runs/`` (one folder per run: claim, planned cells, manifest, outcome),
    ``attributions/`` (safetensors by explain key), ``interpretations/`` (a folder of JSON and tensor files by
    explain key), ``examples/`` (inputs of a few samples by fingerprint), ``curves/`` (mean removal
    curves by score key), ``leaderboard.parquet`` and ``.csv``.

    Every file appears whole or not at all, and its name or content tells whether it is still what
    was written; any number of runs may write at once. A reader takes every part and generation, and
    keeps the best row of every cell.

    Parameters
    ----------
    where : Path or str
        A folder, or a URL such as ``s3://bucket/store``.
    create : bool
        Make the store if there is none; otherwise a missing store is an error.

    Raises
    ------
    StoreError
        If the store is missing, is none, cannot be reached, or cannot be written when ``create`` is set.
    """

    def __init__(self, where: Path | str, *, create: bool = False) -> None:
        self.path = parse_location(where)
        self.files = files_of(self.path)
        self._runs = Runs(self.files)
        self._attributions = AttributionFiles(self.files)
        self._interpretations = Interpretations(self.files)
        self._examples = Examples(self.files)
        self.parts = self.path / "parts"
        self.compact_folder = self.path / "compact"
        self.runs = self.path / "runs"
        self.attributions = self.path / "attributions"
        self.interpretations = self.path / "interpretations"
        if isinstance(self.path, Path) and self.path.exists() and not self.path.is_dir():
            raise _file_in_the_way(self.path)
        found = self._mark()
        if found is None and create:
            if self.files.find("") or self.files.folders(""):
                raise StoreError(f"{self.path} holds other files", "name an empty or new folder with --store")
            self.files.ready()
            self.files.write(MARK, json.dumps(_MARK, indent=2).encode())
        elif found is None:
            raise StoreError(f"there is no store in {self.path}", "make one with `xaibench run --store FOLDER`")
        elif found.get("format") != _MARK["format"] or found.get("version") != _MARK["version"]:
            raise StoreError(f"{self.path} is a store of another format", "update xaibench, or name another folder")
        elif create:
            self.files.ready()

    def _mark(self) -> dict[str, Any] | None:
        """Format and version as the store states them; None if there is no store."""
        try:
            found = json.loads(self.files.read(MARK))
        except FileNotFoundError:
            return _MARK if self._runs.numbers() else None
        except NotADirectoryError as error:
            raise _file_in_the_way(self.path) from error
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the store {self.path} cannot be read: {self.path / MARK} is damaged ({error})",
                "remove that file and the results stay, or name another folder with --store",
            ) from error
        return found if isinstance(found, dict) else {}

    @classmethod
    def exists(cls, where: Path | str) -> bool:
        """Whether there is a store; a file in its place, or in that of a folder above it, is an error."""
        location = parse_location(where)
        files = files_of(location)
        try:
            files.read(MARK)
        except FileNotFoundError:
            return bool(Runs(files).numbers())
        except NotADirectoryError as error:
            raise _file_in_the_way(location) from error
        return True

    # Runs

    def claim_run(self, manifest: dict[str, Any], planned: Iterable[Row] | Iterable[pa.Table]) -> int:
        """Start a run: claim the next number by exclusive create, write the cells it plans and its manifest.

        The rows, or tables of them, may be a stream: they need not be in memory at once.
        """
        return self._runs.begin(manifest, planned)

    def planned(self, number: int) -> pa.Table:
        """The cells that a run planned, as rows of status ``missing``.

        Raises
        ------
        StoreError
            If the list is missing or damaged.
        """
        return self._runs.planned(number)

    def finish_run(self, number: int, outcome: dict[str, Any]) -> None:
        """Record how a run ended."""
        self._runs.finish(number, outcome)

    def outcome(self, number: int) -> dict[str, Any] | None:
        """How a run ended, None if it has not."""
        return self._runs.document(number, "outcome.json")

    def manifests(self) -> list[dict[str, Any]]:
        """Manifests of all runs, oldest first; a run that died before writing one is left out."""
        return self._runs.manifests()

    def under_way(self) -> dict[int, str]:
        """Runs that are not over, by number, and who works on them."""
        found = {number: self._runs.under_way(number) for number in self._runs.numbers()}
        return {number: who for number, who in found.items() if who is not None}

    def coverage(self) -> list[str]:
        """A line for every suite whose newest run is a shard and whose other shards are not all here."""
        return coverage(self.manifests())

    # Results

    def write_part(self, rows: list[Row]) -> Location:
        """Publish rows of one unit as a part that is never changed again; returns where it is."""
        return self._publish(f"{rows[0].unit_id}-{rows[0].run:06d}", to_table(rows))

    def _publish(self, stem: str, table: pa.Table) -> Location:
        content = to_bytes(table)
        name = sealed(f"{generations.PARTS}/{stem}", content)
        # A file of this name has this very content: then it is published already.
        self.files.write(name, content, exclusive=True)
        return self.path / name

    def revive(self, contents: set[tuple[str, str]], run: int) -> None:
        """Let older results count for their cells again, because ``run`` has found that content again.

        Parameters
        ----------
        contents : set of (cell_id, score_key)
        run : int
        """
        if not contents:
            return
        cells = pa.array({cell for cell, _ in contents})
        table = generations.read_rows(self.files, where=lambda t: t.filter(pc.is_in(t["cell_id"], cells)))
        pairs = zip(table["cell_id"].to_pylist(), table["score_key"].to_pylist(), strict=True)
        table = best_rows(table.filter(pa.array([pair in contents for pair in pairs], pa.bool_())))
        index = table.schema.get_field_index("run")
        table = table.set_column(index, table.schema.field(index), pa.array([run] * len(table), pa.int64()))
        self._publish(f"revived-{run:06d}", table)

    def read(self, columns: list[str] | None = None, *, every: bool = False) -> pa.Table:
        """Read results: the best row of every cell, or ``every`` row.

        Damaged files are passed over here; `check` names them, and their cells run again.

        Parameters
        ----------
        columns : list of str, optional
        every : bool
            Include rows of earlier runs, other content and superseded failures.

        Returns
        -------
        pyarrow.Table
        """
        needed = None if columns is None else list(dict.fromkeys([*columns, "cell_id", "score_key", "status", "run"]))
        table = generations.read_rows(self.files, needed)
        if not every:
            table = best_rows(table)
        return table if columns is None else table.select(columns)

    def compact(self, *, at_least: int = 1) -> int:
        """Merge parts, and generations that are small beside them, into a new generation.

        Nothing is done where there are fewer than ``at_least`` parts, so this may be called often.

        Returns
        -------
        int
            Rows of the new generation. Rows that lost to a better row of the same content are dropped.
        """
        return generations.compact(self.files, at_least=at_least)

    def write_frame(self, stem: str, frame: pd.DataFrame, *, csv: bool = False) -> None:
        """Store a table that was made of the results at the top of the store, as Parquet and perhaps as CSV."""
        out = io.BytesIO()
        frame.to_parquet(out, index=False)
        self.files.write(f"{stem}.parquet", out.getvalue())
        if csv:
            self.files.write(f"{stem}.csv", frame.to_csv(index=False).encode())

    def read_frame(self, stem: str) -> pd.DataFrame | None:
        """A table that `write_frame` has stored, None if it is missing or damaged."""
        import pandas as pd

        try:
            return pd.read_parquet(io.BytesIO(self.files.read(f"{stem}.parquet")))
        except (OSError, ValueError):
            return None

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return self.files.age(name) < float("inf")

    # Explanations

    def save_attributions(
        self, explain_key: str, attributions: Tensor, *, kind: str, seconds: float, sizes: Tensor | None = None
    ) -> None:
        """Store an explanation, so that a new metric explains nothing again; ``sizes`` of samples that differ in it."""
        self._attributions.save(explain_key, attributions, kind=kind, seconds=seconds, sizes=sizes)

    def attribution_sizes(self, explain_key: str) -> Tensor | None:
        """How many features of each sample (N,) stored attributions are of; None where all have as many."""
        return self._attributions.sizes(explain_key)

    def load_attributions(self, explain_key: str) -> tuple[Tensor, str, float] | None:
        """Return (attributions, kind, seconds), or None if they are missing or damaged."""
        return self._attributions.load(explain_key)

    def save_interpretations(self, explain_key: str, records: list[dict[str, Any]]) -> None:
        """Store answers of one unit, in a file of their own: an interrupted unit goes on where it was."""
        self._interpretations.save(explain_key, records)

    def load_interpretations(self, explain_key: str) -> list[dict[str, Any]]:
        """All answers of one unit, oldest first; damaged files are passed over, and what they held is asked again."""
        return self._interpretations.load(explain_key)

    def merge_interpretations(self, explain_key: str) -> None:
        """Put the answers of a finished unit into one file, the newest one of each kind."""
        self._interpretations.merge(explain_key)

    # What reports show

    def has_examples(self, fingerprint: str) -> bool:
        """Whether examples of a problem are stored."""
        return self._examples.has_examples(fingerprint)

    def save_examples(self, fingerprint: str, found: StoredExamples) -> None:
        """Store a few samples of a problem, so that a report needs neither data nor model."""
        self._examples.save_examples(fingerprint, found)

    def load_examples(self, fingerprint: str) -> StoredExamples | None:
        """Stored samples of a problem; None if they are missing or damaged."""
        return self._examples.load_examples(fingerprint)

    def save_curve(self, score_key: str, found: StoredCurve) -> None:
        """Store the mean curve behind the scores of a cell."""
        self._examples.save_curve(score_key, found)

    def load_curve(self, score_key: str) -> StoredCurve | None:
        """Stored curve of a cell; None if it is missing or damaged."""
        return self._examples.load_curve(score_key)

    # Care

    def check(self) -> list[Damage]:
        """Verify every file: results, explanations, and what runs say; see `examine` for the rest."""
        return list(damage(self.files))

    def examine(self) -> Examination:
        """All that is wrong with the store, and what no longer serves anything."""
        return examine(self.files)

    def garbage(self, *, keep_runs: int | None = None, young: float = YOUNG) -> Garbage:
        """What no result needs any more; see `xaibench.store.collecting.garbage`."""
        return garbage(self.files, keep_runs=keep_runs, young=young)

    def collect(self, found: Garbage) -> None:
        """Remove what `garbage` has found."""
        collect(self.files, found)

    def merge(self, *sources: Store) -> Merged:
        """Join other stores into this one; see `xaibench.store.merging.merge`."""
        return merge(self.files, [source.files for source in sources])

    def discard(self, found: Damage) -> None:
        """Remove a damaged file; its cells count as never run."""
        self.files.remove(found.name)

    def drafts(self) -> list[str]:
        """Dot-files left behind by processes that were killed while writing; not those of running processes."""
        return self.files.leftovers()


def _file_in_the_way(path: Location) -> StoreError:
    """Error about a store whose folder cannot be there, because a file has its name or that of a folder above it."""
    itself = isinstance(path, Path) and path.is_file()
    said = "is a file, not a store" if itself else "cannot be a store: a part of that path is a file"
    return StoreError(f"{path} {said}", "name a folder with --store")
