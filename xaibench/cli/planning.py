"""``xaibench plan``: what a run would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from xaibench.api.planning import load_suite, plan_suite
from xaibench.cli.output import duration, print_json, stdout
from xaibench.cli.request import Request
from xaibench.cli.spending import spending, spending_text
from xaibench.core.storage.paths import cache_folder
from xaibench.core.trust import trust_files
from xaibench.plan import STATES, Plan
from xaibench.report.labels import spec_label
from xaibench.report.terminal import frame_table
from xaibench.store import Store


def show_plan(request: Request, *, cells: bool, json: bool, trust: Sequence[str] | None = None) -> int:
    """Print the plan; returns the exit code."""
    plugins = request.plugins or ()
    trust_files(trust or ())
    suite = load_suite(request.suite, plugins=plugins)
    path = request.store_path
    store = Store(path) if Store.exists(path) else None
    plan = plan_suite(
        suite,
        store,
        seed=request.seed,
        device=request.device,
        selection=request.selection,
        rerun=request.which,
        shard=request.part,
    )
    spent = spending(plan, store)
    if json:
        print_json({**_document(plan, cells=cells), "spending": [s.as_dict() for s in spent]})
        return 0
    out = stdout()
    out.print(frame_table(_cells(plan) if cells else _without_empty_states(_problems(plan))))
    known, unknown = plan.seconds()
    counts = ", ".join(f"{plan.states[s]} {s}" for s in STATES if plan.states[s])
    out.print(f"{plan.suite.name}: {len(plan.units)} units, {sum(plan.states.values())} cells: {counts}")
    if plan.todo:
        guess = f"about {duration(known)} by this store's history" if unknown < plan.todo else "no history to go by"
        more = f", {unknown} cells never timed" if 0 < unknown < plan.todo else ""
        waiting = plan.states["open"]
        most = "at most " if waiting else ""
        out.print(f"{most}{plan.todo} cells to run, {guess}{more}; training is extra")
        if waiting:
            out.print(
                f"{waiting} are open: their models are built first, and only what changed is scored again",
                soft_wrap=True,
            )
    if spent:
        out.print(spending_text(spent), markup=False, highlight=False, soft_wrap=True)
    out.print(f"store {path}{'' if store else ' (not there yet)'}, cache {cache_folder()}")
    return 0


def _problems(plan: Plan) -> pd.DataFrame:
    """A row per problem with counts by state."""
    rows = []
    several = len({spec.seed for spec, _ in plan.by_problem()}) > 1
    for spec, units in plan.by_problem():
        counts = Counter(c.state for u in units for c in u.cells)
        row: dict[str, Any] = {"problem": spec_label(spec)}
        if several:
            row["seed"] = spec.seed
        row["units"] = len(units)
        row.update((str(s), counts[s]) for s in STATES)
        rows.append(row)
    return pd.DataFrame(rows)


def _without_empty_states(problems: pd.DataFrame) -> pd.DataFrame:
    """The table without the states that no cell is in; how many run is always said."""
    return problems.drop(columns=[s for s in STATES if s != "run" and s in problems and not problems[s].any()])


def _cells(plan: Plan) -> pd.DataFrame:
    rows = [
        {
            "problem": unit.unit.problem.name,
            "explainer": unit.unit.spec.name + (f" #{unit.unit.repeat}" if unit.unit.repeat else ""),
            "metric": cell.cell.metric.label,
            "state": cell.state,
            "reason": cell.reason,
        }
        for unit in plan.units
        for cell in unit.cells
    ]
    return pd.DataFrame(rows)


def _document(plan: Plan, *, cells: bool) -> dict[str, Any]:
    known, unknown = plan.seconds()
    document: dict[str, Any] = {
        "suite": plan.suite.name,
        "units": len(plan.units),
        "cells": {s: plan.states[s] for s in STATES},
        "seconds": round(known, 3),
        "cells_never_timed": unknown,
        "problems": _problems(plan).to_dict("records"),
    }
    if cells:
        document["plan"] = _cells(plan).to_dict("records")
    return document
