"""The sentences around a run: what it will do, on what, where results go; and what to do next."""

from __future__ import annotations

import shlex

import pandas as pd

from xaibench.core.storage.paths import Location
from xaibench.plan import Plan
from xaibench.report.labels import spec_label

_MAX_NAMED = 4
"""Problems that are named in the opening line; of more, the first ones."""
_LARGE = 50_000
"""Cells from which on the opening line only counts them."""


def opening(plan: Plan, store: str | Location) -> str:
    """What a run is about to do: explainers that something here supports, metrics, problems, the folder of the results.

    Parameters
    ----------
    plan : Plan
    store : path or URL
    """
    n_cells = sum(plan.states.values())
    if n_cells > _LARGE:  # to go through it takes long
        return f"suite {plan.suite.name}: {n_cells:,} cells; results go to {store}"
    units = [planned.unit for planned in plan.units if any(cell.state != "unsupported" for cell in planned.cells)]
    controls = {u.explainer.label for u in units if u.spec.control}
    explainers = {u.explainer.label for u in units} - controls
    metrics = {cell.metric.label for u in units for cell in u.cells}
    problems = list(dict.fromkeys(spec_label(u.problem) for u in units))
    about_functions = bool(units) and all(u.spec.kind == "interpreter" for u in units)
    what = "a set of functions" if about_functions else "a data set with a model"
    named = ", ".join(problems[:_MAX_NAMED]) + (", ..." if len(problems) > _MAX_NAMED else "")
    beside = f" and {_count(len(controls), 'control')}" if controls else ""
    who = _count(len(explainers), "interpreter" if about_functions else "explainer")
    return (
        f"suite {plan.suite.name}: {who}{beside},"
        f" {_count(len(metrics), 'metric')}, {_count(len(problems), 'problem')} ({named})\n"
        f"a problem is {what}; results go to {store}"
    )


def planned_counts(plan: Plan) -> str:
    """How many explanations and scores a plan has, without those that nothing supports."""
    supported = [sum(cell.state != "unsupported" for cell in planned.cells) for planned in plan.units]
    return f"{sum(map(bool, supported))} explanations, {sum(supported)} scores"


def next_steps(store: str | Location, board: pd.DataFrame, *, width: int = 80) -> str:
    """Commands that show more of a board, one to a line.

    Parameters
    ----------
    store : path or URL
    board : DataFrame
        From `leaderboard`; the metric that is named is the first one on it that ranks anything.
    width : int
        Characters of a line; what a command shows is said beside it where all of them have room for that.
    """
    where = shlex.quote(str(store))
    ranked = board[board["rank"].notna()]
    steps = {f"xaibench report {where} -o report.html": "figures and examples on a page"}
    if len(ranked):
        steps[f"xaibench leaderboard {where} --metric {ranked['metric'].iloc[0]}"] = "values, intervals"
    steps[f"xaibench leaderboard {where} --wide --legend"] = "every metric; what words mean"
    longest = max(map(len, steps))
    lines = [f"{command:<{longest}}  {shown}" for command, shown in steps.items()]
    if max(map(len, lines)) + len("next: ") > width:
        lines = list(steps)
    return "\n".join(f"{'next:' if i == 0 else '     '} {line}" for i, line in enumerate(lines))


def _count(n: int, name: str) -> str:
    return f"{n} {name}{'' if n == 1 else 's'}"
