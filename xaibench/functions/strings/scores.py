"""Scores of programs for string functions; a program that raises, or gives no string, is wrong there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import PositiveInt

from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.query_efficiency import budgets_of, mean_over_budgets
from xaibench.functions.strings.edits import edit_similarity
from xaibench.functions.strings.equivalence import in_family

_FIND = "Schwettmann et al. 2023, FIND: A function description benchmark (arXiv:2309.03886)"
_OWN = "xaibench's own definition"


def _mean(ev: ProgramEvaluation, i: int, compare: Callable[[str, str], float]) -> float:
    inputs = list(ev.functions[i].test_inputs)
    if not inputs:
        return float("nan")
    pairs = zip(ev.truth(i, inputs), ev.predict(i, inputs), strict=True)
    return float(np.mean([0.0 if found is None else compare(wanted, found) for wanted, found in pairs]))


@metric(
    "string_exact",
    family="ground_truth",
    construct="string_values",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "string"},
    skill_valid=True,
    source=f"{_FIND}: exact match over held-out inputs",
)
def string_exact(ev: ProgramEvaluation, *, whole: bool = False) -> Array:
    """Share of the held-out inputs for which the program gives the same string as the function: FIND's own score.

    Parameters
    ----------
    whole : bool
        1 if it does for all of them, else 0: whether the function is solved.

    Returns
    -------
    array (N,)
        NaN where a function has no test inputs.
    """
    shares = np.array([_mean(ev, i, lambda a, b: float(a == b)) for i in range(len(ev))])
    return np.where(np.isnan(shares), np.nan, shares == 1) if whole else shares


@metric(
    "string_similarity",
    family="ground_truth",
    construct="string_values",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "string"},
    skill_valid=True,
    source="Levenshtein 1966",
)
def string_similarity(ev: ProgramEvaluation) -> Array:
    """Mean over the held-out inputs of ``1 - edit distance / length of the longer output``.

    Returns
    -------
    array (N,)
        0 where there is no output. NaN where a function has no test inputs.
    """
    return np.array([_mean(ev, i, edit_similarity) for i in range(len(ev))])


@metric(
    "string_family_accuracy",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "string"},
    skill_valid=True,
    source=f"{_OWN}: symbolic family identification",
)
def string_family_accuracy(ev: ProgramEvaluation) -> Array:
    """1 if the family that is named has a member that does what the function does, else 0; no family is a wrong one.

    Computed over 400 phrases like those of the domain (`equivalence.in_family`); the program of the
    answer plays no part.
    """
    pairs = zip(ev.functions, ev.answers, strict=True)
    return np.array([float(a.family is not None and in_family(f, a.family)) for f, a in pairs])


@metric(
    "string_query_efficiency",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"program", "string"},
    skill_valid=True,
    budgets=budgets_of,
    source=f"{_OWN}: area under the score-versus-log(queries) curve",
)
def string_query_efficiency(ev: ProgramEvaluation, *, first: PositiveInt = 1, factor: PositiveInt = 2) -> Array:
    """Area under `string_exact` against the logarithm of the allowed questions, divided by its width.

    The interpreter is asked again with ``first``, ``first * factor`` ... questions, up to the budget.

    Parameters
    ----------
    first : int
    factor : int
        At least 2.

    Raises
    ------
    UsageError
        If the budget does not exceed ``first``, or the factor is 1.
    """
    return mean_over_budgets(ev, string_exact, first=first, factor=factor)


@metric(
    "string_description_length",
    family="complexity",
    higher_is_better=False,
    bounds=(0, None),
    needs={"program", "string"},
    source=f"{_OWN}: description length",
)
def string_description_length(ev: ProgramEvaluation) -> Array:
    """Primitives that the program is made of.

    Returns
    -------
    array (N,)
        NaN where ``facts["parameters"]["steps"]`` does not list them, as with a table.
    """
    return np.array([_length(a.facts.get("parameters")) for a in ev.answers])


def _length(parameters: object) -> float:
    steps = parameters.get("steps") if isinstance(parameters, dict) else None
    return float(len(steps)) if isinstance(steps, (list, tuple)) else float("nan")
