"""Tables of planned cells that a run stores, built column by column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from xaibench.plan.cells import Unit, versions_json
from xaibench.plan.expansion import Metrics
from xaibench.store import Row
from xaibench.store.schema import SCHEMA

CELLS_PER_TABLE = 20_000
"""Cells per table."""
_DEFAULTS: dict[str, Any] = {
    f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(Row)
}


def planned_tables(units: Iterable[Unit]) -> Iterator[pa.Table]:
    """Rows of status ``missing`` for all cells of these units, a table for some thousand of them at a time."""
    facts: dict[Metrics, dict[str, list[Any]]] = {}
    columns: dict[str, list[Any]] = {}
    created = datetime.now(UTC)
    for unit in units:
        if unit.metrics not in facts:
            facts[unit.metrics] = _metric_columns(unit.metrics)
        for name, values in {**_unit_columns(unit), **facts[unit.metrics]}.items():
            columns.setdefault(name, []).extend(values)
        if len(columns["cell_id"]) >= CELLS_PER_TABLE:
            yield _table(columns, created)
            columns = {}
    if columns:
        yield _table(columns, created)


def _unit_columns(unit: Unit) -> dict[str, list[Any]]:
    n, problem, others = len(unit.metrics), unit.problem, tuple(unit.versions.items())
    dataset, model = problem.labels
    constant = {
        "unit_id": unit.unit_id,
        "dataset": dataset,
        "model": model,
        "problem_seed": problem.seed,
        "selection": problem.selection,
        "explainer": unit.spec.name,
        "explainer_params": unit.explainer.keyed,
        "seed": unit.seed,
        "repeat": unit.repeat,
        "control": unit.spec.control,
    }
    return {
        **{name: [value] * n for name, value in constant.items()},
        "cell_id": [cell.cell_id for cell in unit.cells],
        "lineage": [cell.unversioned_id for cell in unit.cells],
        "versions": [versions_json(others, metric.spec.version) for metric, _ in unit.metrics],
    }


def _metric_columns(metrics: Metrics) -> dict[str, list[Any]]:
    specs: list[Any] = [metric.spec for metric, _ in metrics]
    names = ("family", "higher_is_better", "aggregate", "skill_valid")
    return {
        "metric": [spec.name for spec in specs],
        "params": [metric.keyed for metric, _ in metrics],
        "asked_output": [output for _, output in metrics],
        "scope": [spec.scope_of(metric.params) for spec, (metric, _) in zip(specs, metrics, strict=True)],
        **{name: [getattr(spec, name) for spec in specs] for name in names},
    }


def _table(columns: dict[str, list[Any]], created: datetime) -> pa.Table:
    n = len(columns["cell_id"])
    constant = {**_DEFAULTS, "status": "missing", "run": 0, "created": created}
    arrays = [
        pa.array(columns[f.name], f.type) if f.name in columns else pa.repeat(pa.scalar(constant[f.name], f.type), n)
        for f in SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
