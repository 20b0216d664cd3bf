"""Controls of functions and cases: the truth, and answers that are independent of the question."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.answers import CaseAnswer, Dictionary, Scores
from xaibench.core.cases.case import CaseView, answer_shape
from xaibench.core.errors import UnsupportedError
from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import BlackBox, CountedFunction, Interpretation


@interpreter("oracle", takes=("program", "case"), needs={"truth"}, control=True)
def oracle(f: CountedFunction | CaseView, *_: Any) -> Interpretation | CaseAnswer:
    """The function itself, without noise, with all that is known of it; the true answer about a case."""
    if isinstance(f, CaseView):
        assert f.truth is not None
        return f.truth
    assert f.truth is not None
    return _description_of(f.truth)


@interpreter("random", takes=("program", "case"), needs={"others"}, control=True)
def random(f: CountedFunction | CaseView, *given: Any) -> Interpretation | CaseAnswer:
    """Another function of the set, drawn at random; of a case, scores from N(0, 1), or random unit directions."""
    draws: np.random.Generator = given[-1]
    if isinstance(f, CaseView):
        return _noise(f, draws)
    if not f.others:
        return Interpretation.failed("there is no other function in the set")
    return _description_of(f.others[draws.integers(len(f.others))])


def _description_of(function: BlackBox) -> Interpretation:
    """All that is known of a function, as an answer."""
    facts = {"noise": function.noise, "parameters": dict(function.parameters)}
    if "extents" in function.parameters:
        facts["concepts"] = function.parameters["extents"]
    return Interpretation(function.program, function.description, function.family, function.intervals, facts=facts)


def _noise(case: CaseView, draws: np.random.Generator) -> CaseAnswer:
    if case.answer_type is Scores:
        return Scores(torch.from_numpy(draws.standard_normal(case.shape)))
    m, d, n = case.shape
    directions = torch.from_numpy(draws.standard_normal((m, d)))
    return _uninformed(directions / directions.norm(dim=1, keepdim=True), n)


def _uninformed(directions: Tensor, n: int) -> Dictionary:
    """A dictionary whose directions are in no test input."""
    m, d = directions.shape
    return Dictionary(directions, torch.zeros(n, m), torch.zeros(n, d))


@interpreter("other_case", takes=("case",), needs={"others"}, control=True)
def other_case(case: CaseView, draws: np.random.Generator) -> CaseAnswer:
    """The truth of another case of the set, drawn at random: looks like an answer, explains nothing.

    Raises
    ------
    UnsupportedError
        If no other case has an answer of this shape.
    """
    fitting = [other.truth for other in case.others if answer_shape(other.truth) == case.shape]
    if not fitting:
        raise UnsupportedError("no other case of the set has an answer of this shape")
    return fitting[int(draws.integers(len(fitting)))]


@interpreter("constant", takes=("case",), control=True)
def constant(case: CaseView, draws: np.random.Generator) -> CaseAnswer:
    """The same score for every unit; of a dictionary, one direction over and over."""
    if case.answer_type is Scores:
        return Scores(torch.ones(case.shape, dtype=torch.float64))
    m, d, n = case.shape
    return _uninformed(torch.eye(d)[:1].repeat(m, 1), n)
