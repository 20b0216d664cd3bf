"""The plan: a suite expanded to units and cells, and what is to be done with each of them."""

from xaibench.plan.cells import Cell, Unit, unsupported_key
from xaibench.plan.decisions import STATES, PlannedCell, PlannedUnit, Rerun, State, decide
from xaibench.plan.expansion import Selection, expand, problems
from xaibench.plan.listing import planned_tables
from xaibench.plan.planning import Plan, Shard, make_plan

__all__ = [
    "STATES", "Cell", "Plan", "PlannedCell", "PlannedUnit", "Rerun", "Selection", "Shard", "State", "Unit",
    "decide", "expand", "make_plan", "planned_tables", "problems", "unsupported_key",
]  # fmt: skip
