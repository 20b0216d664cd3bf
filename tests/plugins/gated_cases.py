"""A small copy of every shipped set of cases, whose first case fails a gate, and explainers that give no answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import torch

import xaibench as xb
from xaibench.core.gates import Gate
from xaibench.core.program_specs import FunctionsSpec
from xaibench.core.registry import components

N = 3
SMALL = {"n": N, "rows": 120, "tests": 5, "inputs": 2000, "draws": 3}
"""Parameters of sets that make them small, where they have these."""
SETS = [
    cast(FunctionsSpec, spec)
    for spec in components("functions")
    if cast(FunctionsSpec, spec).holds_cases and spec.function.__module__.startswith("xaibench.")
]


def _copy(of: FunctionsSpec) -> None:
    @xb.function_set(f"gated_{of.name}", kind=of.functions)
    def gated(*, seed: int) -> tuple[xb.Case, ...]:
        params = of.bind({name: value for name, value in SMALL.items() if name in of.parameters})
        first, *others = of.function(**params, seed=seed)[:N]
        return (replace(first, gates=(*first.gates, Gate("planted", 0.0, 1.0))), *others)


for _set in SETS:
    _copy(_set)


@xb.interpreter("gives_no_answer", takes={"case"}, needs={"truth", "others"})
def gives_no_answer(
    case: xb.CaseView, draws: np.random.Generator, *, how: Literal["raises", "NaN", "shape", "type"] = "raises"
) -> Any:
    """What is no answer, in one of several ways, to all cases but the last one by name; there it is the truth."""
    assert case.truth is not None
    if all(other.name < case.name for other in case.others):
        return case.truth
    if how == "raises":
        raise ValueError("no idea")
    if how == "type":
        return next(iter(case.truth.tensors.values()))
    change = (lambda t: t[..., :-1]) if how == "shape" else (lambda t: torch.full_like(t, torch.nan))
    return replace(case.truth, **{name: change(t.double()) for name, t in case.truth.tensors.items()})
