"""Requests, tokens and costs of external services that a plan needs, estimated before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xaibench.core.errors import XaibenchError
from xaibench.core.program_specs import CostEstimate, InterpreterSpec
from xaibench.plan import Plan, PlannedUnit
from xaibench.problems.specs import FunctionProblemSpec
from xaibench.store import Store

if TYPE_CHECKING:
    from xaibench.problems.preparing import Problems


@dataclass(frozen=True)
class Spending:
    """What one interpreter asks for one set of functions, at most.

    Attributes
    ----------
    interpreter, problem : str
    answers, stored : int
        Answers that are needed, and those that the store already has.
    estimate : CostEstimate
        For those that are not.
    """

    interpreter: str
    problem: str
    answers: int
    stored: int
    estimate: CostEstimate

    def as_dict(self) -> dict[str, Any]:
        return {
            "interpreter": self.interpreter,
            "problem": self.problem,
            "answers": self.answers,
            "kept": self.stored,
            "requests_at_most": self.estimate.requests,
            "prompt_tokens_at_most": self.estimate.prompt_tokens,
            "completion_tokens_at_most": self.estimate.completion_tokens,
            "cost_at_most": self.estimate.cost,
        }


def spending(plan: Plan, store: Store | None) -> list[Spending]:
    """Estimates of the units that are due and ask a service. Sends nothing."""
    asking = [unit for unit in plan.units if unit.todo and _asks_a_service(unit)]
    if not asking:
        return []
    from xaibench.problems.preparing import Problems

    problems = Problems(None)
    return [found for unit in asking for found in _of_unit(unit, plan, store, problems)]


def _asks_a_service(planned: PlannedUnit) -> bool:
    spec = planned.unit.spec
    return isinstance(spec, InterpreterSpec) and spec.estimate is not None


def _of_unit(planned: PlannedUnit, plan: Plan, store: Store | None, problems: Problems) -> Iterator[Spending]:
    unit, problem = planned.unit, planned.unit.problem
    spec = unit.spec
    if not (isinstance(spec, InterpreterSpec) and isinstance(problem, FunctionProblemSpec)) or spec.estimate is None:
        return
    try:
        functions = problems.functions(problem)
    except XaibenchError:
        return
    budgets = {problem.budget}
    for cell in planned.todo:
        again = cell.cell.spec.budgets
        budgets |= set(again(cell.cell.metric.params, problem.budget)) if again is not None else set()
    names = {f.name for f in functions.functions}
    stored = set()
    if store is not None and plan.rerun != "all":
        records = store.load_interpretations(unit.explain_key(functions.fingerprint))
        stored = {(r["name"], r["budget"]) for r in records if not r["traceback"] and r["name"] in names}
    parts = []
    for budget in sorted(budgets):
        missing = sum((name, budget) not in stored for name in names)
        parts.append(spec.estimate(unit.explainer.params, missing, budget))
    total = CostEstimate(
        sum(p.requests for p in parts),
        sum(p.prompt_tokens for p in parts),
        sum(p.completion_tokens for p in parts),
        None if any(p.cost is None for p in parts) else sum(p.cost or 0.0 for p in parts),
    )
    yield Spending(
        unit.explainer.label,
        problem.name,
        len(names) * len(budgets),
        sum(budget in budgets for _, budget in stored),
        total,
    )


def spending_text(found: list[Spending]) -> str:
    """The estimates for people, a line for each; empty where nothing is asked of a service."""
    lines = []
    for s in found:
        e = s.estimate
        cost = "cost unknown: no prices are given" if e.cost is None else f"cost {e.cost:.2f}"
        stored = f", {s.stored} are stored and are not asked for again" if s.stored else ""
        lines.append(
            f"{s.interpreter} on {s.problem}: {s.answers} answers{stored}; estimate, an upper bound for replies of "
            f"typical length: {e.requests} requests, {_tokens(e.prompt_tokens)} tokens in, "
            f"{_tokens(e.completion_tokens)} out, {cost}"
        )
    return "\n".join(lines)


def _tokens(n: int) -> str:
    for unit, name in ((1_000_000, "million"), (1_000, "thousand")):
        if n >= unit:
            return f"{n / unit:.3g} {name}"
    return str(n)
