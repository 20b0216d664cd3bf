"""What every set of functions, interpreter and program metric promises, over the whole registry."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any, cast

import numpy as np
import pytest

from xaibench.core.components import FunctionsSpec, InterpreterSpec, MetricSpec
from xaibench.core.programs.black_box import BlackBox, Interpretation, run_program
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.programs.interpreting import ask, checked, score_programs
from xaibench.core.registry import components, get

BUDGET = 24
N = 5
SETS = [cast(FunctionsSpec, s) for s in components("functions") if not cast(FunctionsSpec, s).holds_cases]
NEEDS_A_SERVER = frozenset({"llm"})
"""Interpreters that ask a service; see test_llm.py."""
NEEDS_A_LIBRARY = frozenset(n for n in ("gplearn", "pysindy") if importlib.util.find_spec(n) is None)
"""Interpreters from libraries that are extras, where they are missing; see test_numeric_interpreters.py."""
INTERPRETERS = [
    (cast(InterpreterSpec, s), kind)
    for s in components("interpreter")
    for kind in sorted({f.functions for f in SETS})
    if s.takes_kind(kind) and s.name not in NEEDS_A_SERVER | NEEDS_A_LIBRARY
]
METRICS = [
    (cast(MetricSpec, s), kind)
    for s in components("metric")
    for kind in sorted({f.functions for f in SETS})
    if s.takes_kind(kind)
]
every_set = pytest.mark.parametrize("spec", SETS, ids=lambda s: s.name)
every_interpreter = pytest.mark.parametrize(("spec", "kind"), INTERPRETERS, ids=lambda v: getattr(v, "name", v))
every_metric = pytest.mark.parametrize(("spec", "kind"), METRICS, ids=lambda v: getattr(v, "name", v))


def made(spec: FunctionsSpec, seed: int) -> tuple[BlackBox, ...]:
    small = {"n": 2 * N} if "n" in spec.parameters else {}
    functions: tuple[BlackBox, ...] = spec.function(seed=seed, **spec.bind(small))
    return functions[: 2 * N]


@cache
def some(kind: str) -> tuple[BlackBox, ...]:
    return next(made(s, 5)[:N] for s in SETS if s.functions == kind)


def answered(spec: InterpreterSpec, functions: tuple[BlackBox, ...], i: int, seed: int = 0) -> Interpretation:
    given = spec.bind({})
    return ask(spec, given, functions, i, budget=BUDGET, seed=seed, stream="test", passes=True).interpretation


def evaluation(functions: tuple[BlackBox, ...], answers: tuple[Interpretation, ...]) -> ProgramEvaluation:
    peers = some(functions[0].kind)
    return ProgramEvaluation(functions, answers, seed=0, budget=BUDGET, ask=lambda i, budget: answers[i], peers=peers)


def oracle_answers(functions: tuple[BlackBox, ...]) -> tuple[Interpretation, ...]:
    spec = cast(InterpreterSpec, get("interpreter", "oracle"))
    return tuple(answered(spec, functions, i) for i in range(len(functions)))


def same(a: Any, b: Any) -> None:
    if isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b


@every_set
def test_equal_seeds_make_equal_functions(spec: FunctionsSpec) -> None:
    for f, g in zip(made(spec, 3), made(spec, 3), strict=True):
        assert (f.name, f.description, f.parameters, f.intervals) == (g.name, g.description, g.parameters, g.intervals)
        same(run_program(f.call, f.test_inputs, f.kind)[0], run_program(g.call, g.test_inputs, g.kind)[0])
    assert [f.description for f in made(spec, 3)] != [f.description for f in made(spec, 4)]


@every_set
def test_functions_answer_each_input_on_its_own(spec: FunctionsSpec) -> None:
    for f in made(spec, 3):
        assert f.description
        assert f.kind == spec.functions
        for call in (f.call, f.program):
            whole, why = run_program(call, f.test_inputs, f.kind)
            assert why == ""
            alone = run_program(call, f.test_inputs[::-1][:3], f.kind)[0]
            if isinstance(whole, np.ndarray):
                np.testing.assert_allclose(alone, whole[::-1][:3], rtol=1e-9, atol=1e-9 * np.nanmax(np.abs(whole)))
            else:
                assert alone == whole[::-1][:3]


@pytest.mark.slow
@every_interpreter
def test_interpreters_keep_the_budget_and_repeat_themselves(spec: InterpreterSpec, kind: str) -> None:
    functions = some(kind)
    for i, f in enumerate(functions[:2]):
        first, again = answered(spec, functions, i), answered(spec, functions, i)
        assert first.queries <= BUDGET
        checked(first, f.domain)
        found, why = run_program(first.program, f.test_inputs, f.kind)
        assert why == first.failure == ""
        same(found, run_program(again.program, f.test_inputs, f.kind)[0])
        assert (first.description, first.family, first.intervals) == (
            again.description,
            again.family,
            again.intervals,
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "kind"), [(s, k) for s, k in INTERPRETERS if "others" not in s.needs], ids=lambda v: getattr(v, "name", v)
)
def test_answers_depend_on_no_other_function(spec: InterpreterSpec, kind: str) -> None:
    functions = some(kind)
    f = functions[1]
    a, b = answered(spec, functions, 1), answered(spec, (f,), 0)
    same(run_program(a.program, f.test_inputs, kind)[0], run_program(b.program, f.test_inputs, kind)[0])


@every_metric
def test_scores_are_one_per_function_whatever_the_others(spec: MetricSpec, kind: str) -> None:
    functions = some(kind)
    answers = oracle_answers(functions[1:] + functions[:1])
    params = spec.bind({})
    whole = score_programs(spec, params, evaluation(functions, answers)).numpy()
    apart = [score_programs(spec, params, evaluation((f,), (a,))) for f, a in zip(functions, answers, strict=True)]
    np.testing.assert_array_equal(whole, np.concatenate(apart))
    low, high = spec.bounds
    known = whole[np.isfinite(whole)]
    assert low is None or (known >= low).all()
    assert high is None or (known <= high).all()


@every_metric
def test_no_program_is_never_better_than_the_truth(spec: MetricSpec, kind: str) -> None:
    functions = some(kind)
    params = spec.bind({})
    failed = tuple(Interpretation.failed("no idea") for _ in functions)
    best = score_programs(spec, params, evaluation(functions, oracle_answers(functions))).numpy()
    worst = score_programs(spec, params, evaluation(functions, failed)).numpy()
    if spec.family != "complexity":
        sign = 1 if spec.higher_is_better else -1
        known = np.isfinite(best) & np.isfinite(worst)
        assert (sign * best[known] >= sign * worst[known]).all()
        assert np.isfinite(best).any(), "the truth has a score"
        assert np.isfinite(worst[np.isfinite(best)]).all(), "no program is a bad answer, not a missing one"
