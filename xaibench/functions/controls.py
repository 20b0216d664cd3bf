"""Controls of function problems: the truth, and two programs that know nothing of the function's shape."""

from __future__ import annotations

from typing import get_args

import numpy as np

from xaibench.core.programs import Domain, FunctionKind, Interpretation, Probe
from xaibench.core.registry import interpreter


@interpreter("oracle", takes=get_args(FunctionKind), needs={"truth"}, control=True)
def oracle(f: Probe, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """The function itself, without noise, with all that is known of it."""
    truth = f.truth
    assert truth is not None
    return Interpretation(truth.program, truth.description, truth.family, truth.intervals)


@interpreter("random", takes=get_args(FunctionKind), needs={"others"}, control=True)
def random(f: Probe, domain: Domain, budget: int, draws: np.random.Generator) -> Interpretation:
    """Program and description of another function of the set, drawn at random: looks like an answer, knows nothing."""
    if not f.others:
        return Interpretation.failed("there is no other function in the set")
    other = f.others[draws.integers(len(f.others))]
    return Interpretation(other.program, other.description, other.family, other.intervals)
