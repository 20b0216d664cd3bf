"""Controls of function problems: the truth, and two programs that know nothing of the function's shape."""

from __future__ import annotations

from typing import get_args

import numpy as np

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import BlackBox, CountedFunction, Domain, Interpretation
from xaibench.core.types import FunctionKind


@interpreter("oracle", takes=get_args(FunctionKind), needs={"truth"}, control=True)
def oracle(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """The function itself, without noise, with all that is known of it."""
    truth = f.truth
    assert truth is not None
    return _said_of(truth)


@interpreter("random", takes=get_args(FunctionKind), needs={"others"}, control=True)
def random(f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """Program and description of another function of the set, drawn at random: looks like an answer, knows nothing."""
    if not f.others:
        return Interpretation.failed("there is no other function in the set")
    return _said_of(f.others[draws.integers(len(f.others))])


def _said_of(function: BlackBox) -> Interpretation:
    """All that is known of a function, as an answer."""
    facts = {"noise": function.noise, "parameters": dict(function.parameters)}
    return Interpretation(function.program, function.description, function.family, function.intervals, facts=facts)
