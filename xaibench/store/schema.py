"""Schema of result rows: their columns and types, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 1
STATUSES = ("ok", "undefined", "unsupported", "failed", "timeout", "oom")
"""Everything that can become of a cell. ``undefined``: scored, but no sample has a defined score."""
DONE = frozenset({"ok", "undefined", "unsupported"})
"""Statuses that a later run need not repeat."""
FAILURES = tuple(status for status in STATUSES if status not in DONE)
"""The others: never cache hits, never shadowing a result."""


@dataclass(frozen=True)
class Row:
    """One cell: one metric on one explanation of one problem, with its per-sample scores.

    Attributes
    ----------
    cell_id : str
        Logical identity: names, parameters, versions, seeds, sample selection.
    lineage : str
        The same without versions, to tell a stale cell from a new one.
    unit_id : str
        The cells that share one explanation share this.
    score_key, explain_key : str
        Content identity, for reuse: problem fingerprint, parameters, versions, seeds.
    repeat : int
        Number of the draw, for the random control; 0 for all else.
    selection : str
        Which samples, and what is explained of them.
    output, asked_output : str
        What was measured, and what the suite asked to measure instead of the metric's rule.
    sign, channels : str
        What the metric did with the sign of attributions, and how several channels became one number.
    params, explainer_params : str
        Canonical JSON.
    scope : str
        What a score is of: a ``sample``, or the whole ``dataset``, with one score per repeat.
    scores : list of float
        One per sample or repeat, NaN where undefined; empty if nothing was scored.
    sample_ids : list of str
        Names of the samples or repeats that were scored; equal names pair up.
    gates : str
        JSON list of the problem's measured conditions; one of a single function or case names it as ``case``.
    explain_seconds, score_seconds : float
        Wall time; a reused explanation keeps the time that it took when it was made.
    run : int
        Number of the run that made the row.
    explain_memory, score_memory : int
        Peak memory in bytes, beyond what the process held when the stage began; see `xaibench.execution.memory`.
    layer_used : str
        Layer of the model that the explainer takes features from, where it does: name, operation, shape.
    model_facts : str
        What a first look at the model found, as JSON; see `ModelFacts`.
    """

    cell_id: str
    lineage: str
    unit_id: str
    dataset: str
    model: str
    problem_seed: int
    selection: str
    explainer: str
    explainer_params: str
    seed: int
    repeat: int
    metric: str
    params: str
    family: str
    higher_is_better: bool
    aggregate: str
    skill_valid: bool
    control: bool
    versions: str
    status: str
    run: int
    created: datetime
    score_key: str | None = None
    explain_key: str | None = None
    fingerprint: str | None = None
    attribution_kind: str | None = None
    conversion: str | None = None
    output: str | None = None
    asked_output: str | None = None
    sign: str | None = None
    channels: str | None = None
    truth_kind: str | None = None
    gate_passed: bool | None = None
    gates: str = "[]"
    error_kind: str | None = None
    message: str | None = None
    traceback: str | None = None
    scores: list[float] = field(default_factory=list)
    sample_ids: list[str] = field(default_factory=list)
    n: int = 0
    n_undefined: int = 0
    explain_seconds: float | None = None
    score_seconds: float | None = None
    explain_cached: bool = False
    n_evaluations: int | None = None
    batch_size: int | None = None
    device: str | None = None
    threads: int | None = None
    scope: str | None = None
    layer_used: str | None = None
    model_facts: str | None = None
    explain_memory: int | None = None
    score_memory: int | None = None


_TYPES: dict[str, pa.DataType] = {
    "str": pa.string(),
    "int": pa.int64(),
    "bool": pa.bool_(),
    "float": pa.float64(),
    "datetime": pa.timestamp("us", tz="UTC"),
    "list[float]": pa.list_(pa.float32()),
    "list[str]": pa.list_(pa.string()),
}
SCHEMA = pa.schema(
    [pa.field(f.name, _TYPES[str(f.type).removesuffix(" | None")]) for f in fields(Row)],
    metadata={b"xaibench_schema": str(SCHEMA_VERSION).encode()},
)


def to_table(rows: list[Row]) -> pa.Table:
    """Rows as an Arrow table of the current schema."""
    names = SCHEMA.names
    return pa.Table.from_pylist([{n: getattr(r, n) for n in names} for r in rows], schema=SCHEMA)


def version_of(schema: pa.Schema) -> int | None:
    """Schema version that a file was written with, or None if it is not a result file."""
    raw = (schema.metadata or {}).get(b"xaibench_schema")
    return int(raw) if raw is not None and raw.isdigit() else None


def migrate(table: pa.Table, columns: list[str] | None = None) -> pa.Table:
    """Bring a table of an older schema to the current one: columns added since are null.

    Raises
    ------
    ValueError
        If the table is none of ours, or of a newer version.
    """
    version = version_of(table.schema)
    if version is None or version > SCHEMA_VERSION:
        raise ValueError("not a result file" if version is None else f"schema version {version} is newer than ours")
    wanted = SCHEMA if columns is None else pa.schema([SCHEMA.field(c) for c in columns], metadata=SCHEMA.metadata)
    arrays: list[Any] = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(len(table), f.type) for f in wanted
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)
