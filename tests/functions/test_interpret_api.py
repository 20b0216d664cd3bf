"""`xb.interpret`: any callable, any interpreter, the same answers as in a run."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import xaibench as xb
from xaibench.core.programs.black_box import BudgetError, run_program


def test_a_function_is_interpreted_within_its_budget(programs: ModuleType) -> None:
    asked: list[int] = []

    def f(x: Any) -> Any:
        asked.append(len(x))
        return 3 * x - 1

    answer = xb.interpret("two_points", f, domain=(-5, 5), budget=2, seed=3)
    assert answer.queries == sum(asked) == 2
    assert (answer.family, answer.description, answer.intervals) == ("linear", "a line", ())
    assert answer.facts["slope"] == pytest.approx(3)
    assert answer.program(2.0) == pytest.approx(5)
    np.testing.assert_allclose(answer.program([[0, 1], [2, 3]]), [[-1, 2], [5, 8]])
    with pytest.raises(BudgetError, match="2 questions, and 1 of 1 are left"):
        xb.interpret("two_points", f, domain=(-5, 5), budget=1)
    assert sum(asked) == 2, "what the budget forbids is never asked"


def test_seeds_and_domains_matter(programs: ModuleType) -> None:
    def where(**given: Any) -> list[float]:
        asked: list[float] = []

        def f(x: Any) -> Any:
            asked.extend(x)
            return x

        xb.interpret("two_points", f, **given)
        return asked

    assert where(seed=1) == where(seed=1) != where(seed=2)
    assert max(np.abs(where(domain=(0, 0.1)))) <= 0.1
    assert where(domain=xb.Domain(0, 1)) == where(domain=[0, 1])


def test_functions_of_strings_and_parameters(programs: ModuleType) -> None:
    answer = xb.interpret("upper_case", lambda xs: [x.upper() for x in xs], domain=["a", "bc"])
    assert answer.program(["xyz"]) == ["XYZ"]
    assert answer.queries == 2
    assert xb.interpret("two_points", lambda x: x, shift=2.5).program(1.0) == pytest.approx(3.5)


def test_a_registered_function_brings_its_truth(programs: ModuleType) -> None:
    line = programs.tiny_lines()[2]
    answer = xb.interpret("oracle", line)
    assert answer.description == line.description
    assert answer.program(2.0) == line.program(np.array([2.0]))[0]


@pytest.mark.parametrize(
    ("name", "f", "given", "error", "message"),
    [
        ("two_points", 3.0, {}, xb.UsageError, "a float is not a function"),
        ("two_pionts", np.sin, {}, xb.UsageError, "unknown interpreter"),
        ("two_points", np.sin, {"gain": 1}, xb.UsageError, "no parameter 'gain'"),
        ("two_points", np.sin, {"budget": 0}, xb.UsageError, "budget = 0"),
        ("two_points", np.sin, {"domain": (1, 0)}, xb.UsageError, "is not an interval"),
        ("two_points", np.sin, {"domain": (0, np.inf)}, xb.UsageError, "is not an interval"),
        ("two_points", np.sin, {"domain": 3}, xb.UsageError, "domain = 3 is not valid"),
        ("two_points", np.sin, {"domain": "abc"}, xb.UsageError, "domain = 'abc' is not valid"),
        ("two_points", np.sin, {"kind": "number"}, xb.UsageError, "unknown kind 'number'"),
        ("two_points", np.sin, {"domain": ["a"], "kind": "numeric"}, xb.UsageError, "asked about numbers"),
        ("upper_case", str, {"kind": "string"}, xb.UsageError, "needs words"),
        ("two_points", lambda x: x[:1], {}, xb.UsageError, r"returned shape \(1,\) for 2 inputs"),
        ("two_points", lambda x: "no", {}, xb.UsageError, "returned str, not numbers"),
        ("upper_case", lambda xs: xs[0], {"domain": ["a", "b"]}, xb.UsageError, "did not return 2 strings"),
        ("two_points", lambda xs: xs, {"domain": ["a", "b"]}, xb.UnsupportedError, "needs numeric"),
        ("oracle", np.sin, {}, xb.UnsupportedError, "needs truth"),
        ("random", np.sin, {}, xb.UnsupportedError, "needs others"),
        ("always_raises", np.sin, {}, RuntimeError, "this interpreter is broken"),
    ],
)
def test_mistakes_are_said(
    programs: ModuleType, name: str, f: Any, given: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        xb.interpret(name, f, **given)


def test_components_are_listed(programs: ModuleType) -> None:
    interpreters = xb.components("interpreter").set_index("name")
    assert interpreters.loc["oracle", "control"]
    assert "numeric" in interpreters.loc["two_points", "needs"]
    assert xb.components("functions").set_index("name").loc["tiny_strings", "functions"] == "string"


@pytest.mark.parametrize(
    ("program", "kind", "expected", "failure"),
    [
        (lambda x: x + 1, "numeric", [2.0, 3.0], ""),
        (lambda x: [np.inf, 1], "numeric", [np.nan, 1.0], ""),
        (lambda x: 1 / 0, "numeric", [np.nan, np.nan], "ZeroDivisionError"),
        (lambda x: [1.0], "numeric", [np.nan, np.nan], "TypeError: 2 inputs gave list of shape (1,)"),
        (lambda x: ["a", "b"], "numeric", [np.nan, np.nan], "ValueError"),
        (lambda x: None, "numeric", [np.nan, np.nan], "TypeError: 2 inputs gave NoneType"),
        (lambda x: [1.0, None], "neuron", [1.0, np.nan], ""),
        (lambda x: ["a", 3], "string", ["a", None], ""),
        (lambda x: "ab", "string", [None, None], "TypeError: 2 inputs gave str"),
    ],
)
def test_programs_may_do_anything(program: Any, kind: Any, expected: list[Any], failure: str) -> None:
    inputs: Any = np.array([1.0, 2.0]) if kind == "numeric" else ["p", "q"]
    found, why = run_program(program, inputs, kind)
    assert why.startswith(failure)
    assert bool(why) == bool(failure)
    if isinstance(expected[0], str) or expected[0] is None:
        assert found == expected
    else:
        np.testing.assert_array_equal(np.asarray(found), expected)
    assert list(inputs) == ([1.0, 2.0] if kind == "numeric" else ["p", "q"])
