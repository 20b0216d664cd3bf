"""Query efficiency: how a score rises with the number of questions; for functions of every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xaibench.core.errors import UsageError
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.types import Array


def budgets_of(params: Mapping[str, Any], budget: int) -> list[int]:
    """``first``, ``first * factor`` ... up to the budget; the budget alone where that is not above ``first``."""
    first, factor = params["first"], params["factor"]
    if budget <= first or factor < 2:
        return [budget]
    return [b for b in (first * factor**k for k in range(32)) if b < budget] + [budget]


def mean_over_budgets(
    ev: ProgramEvaluation, score: Callable[[ProgramEvaluation], Array], *, first: int, factor: int
) -> Array:
    """Area under a score against the logarithm of the allowed questions, divided by its width.

    The interpreter is asked again with each of `budgets_of`.

    Returns
    -------
    array (N,)

    Raises
    ------
    UsageError
        If the budget does not exceed ``first``, or the factor is 1.
    """
    if ev.budget <= first or factor < 2:
        raise UsageError(
            f"query efficiency needs a budget above {first} and a factor of at least 2", "raise the budget of the suite"
        )
    budgets = budgets_of({"first": first, "factor": factor}, ev.budget)
    scores = np.stack([score(ev.interpret(b)) for b in budgets])
    return np.asarray(np.trapezoid(scores, np.log(budgets), axis=0) / np.log(budgets[-1] / budgets[0]))
