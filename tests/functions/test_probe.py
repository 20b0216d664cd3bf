"""A probe counts every question, and nobody gets round it by accident or by a short cut."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest

import xaibench as xb
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.black_box import BlackBox, BudgetError, CountedFunction, Domain, Interpretation, run_program
from xaibench.core.programs.interpreting import ask


def squares(x: Any) -> Any:
    return x**2


def upper(xs: list[str]) -> list[str]:
    return [x.upper() for x in xs]


def probe(budget: int = 8) -> CountedFunction:
    return CountedFunction(squares, "numeric", Domain(), budget)


def words(budget: int = 8) -> CountedFunction:
    return CountedFunction(upper, "string", Domain(words=("a", "b")), budget)


class Liar(list[Any]):
    """A list that says it is empty."""

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    "questions",
    [np.zeros((1, 1000)), np.zeros((0, 5)), np.float64(3), 3.0, [[1.0], [2.0]], [[1.0], [1.0, 2.0]], "12", None, {}],
)
def test_only_numbers_in_a_row_are_questions(questions: Any) -> None:
    f = probe()
    with pytest.raises((TypeError, ValueError)):
        f(questions)
    assert f.queries == 0
    assert f.asked == []


@pytest.mark.parametrize("questions", ["abc", b"abc", [1, 2], [["a", "b"]], np.array([["a", "b"]]), None, {"a"}, 3])
def test_only_lists_of_strings_are_questions(questions: Any) -> None:
    f = words()
    with pytest.raises(TypeError):
        f(questions)
    assert f.queries == 0


def test_what_is_counted_is_what_is_asked() -> None:
    f = probe(3)
    with pytest.raises(BudgetError, match="4 questions, and 3 of 3 are left"):
        f(Liar([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(f(Liar([1.0, 2.0])), [1, 4])
    assert (f.queries, f.left, f.asked, f.answers) == (2, 1, [1, 2], [1, 4])
    with pytest.raises(BudgetError, match="2 questions, and 1 of 3 are left"):
        f([3.0, 4.0])
    assert f.left == 1
    f = words(2)
    assert f(Liar(["a", "b"])) == ["A", "B"]
    assert f.left == 0
    assert f([]) == []
    with pytest.raises(BudgetError):
        f(("a",))


def test_questions_of_many_threads_are_counted() -> None:
    f = CountedFunction(squares, "numeric", Domain(), 500)
    refused: list[int] = []

    def many() -> None:
        for _ in range(200):
            try:
                f(np.ones(1))
            except BudgetError:
                refused.append(1)

    threads = [threading.Thread(target=many) for _ in range(4)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert f.queries == len(f.asked) == 500
    assert len(refused) == 300


@pytest.mark.parametrize(
    "name", ["queries", "budget", "left", "kind", "domain", "truth", "others", "asked", "_log", "x"]
)
def test_nothing_can_be_set(name: str) -> None:
    f = probe()
    with pytest.raises(AttributeError):
        setattr(f, name, 0)
    assert not hasattr(f, "__dict__")


def test_the_function_is_no_attribute() -> None:
    f = CountedFunction(squares, "numeric", Domain(), 8)
    held = [getattr(f, name) for name in dir(f)]
    assert not any(value is squares for value in held)
    assert f.truth is None
    assert f.others == ()


def test_logs_and_arrays_are_copies() -> None:
    memory = np.arange(4.0)
    f = CountedFunction(lambda x: memory, "numeric", Domain(), 8)
    questions = np.zeros(4)
    answers = f(questions)
    questions[:] = answers[:] = 99
    f.asked.clear()
    f.answers.append(1)
    assert (f.asked, f.answers) == ([0.0] * 4, [0.0, 1.0, 2.0, 3.0])
    assert memory.tolist() == [0, 1, 2, 3]

    def spoils(x: Any) -> Any:
        x[:] = 7
        return x

    f = CountedFunction(spoils, "numeric", Domain(), 8)
    questions = np.zeros(2)
    f(questions)
    assert questions.tolist() == f.asked == [0, 0]


def test_a_question_that_breaks_the_function_was_asked() -> None:
    f = CountedFunction(lambda x: 1 / 0, "numeric", Domain(), 8)
    with pytest.raises(ZeroDivisionError):
        f(np.zeros(3))
    assert f.queries == 3


def test_a_probe_is_closed_when_the_interpreter_has_answered() -> None:
    box = BlackBox("f", "numeric", squares, squares, Domain(), "square", {}, "", np.arange(3.0))
    kept: list[CountedFunction] = []

    def asks_later(f: CountedFunction, domain: Domain, budget: int, draws: Any) -> Interpretation:
        kept.append(f)
        return Interpretation(f, "the function itself")  # type: ignore[arg-type]

    spec = InterpreterSpec("asks_later", asks_later, frozenset({"program", "numeric"}))
    answer = ask(spec, {}, (box,), 0, budget=100, seed=0, stream="s").interpretation
    found, why = run_program(answer.program, box.test_inputs, "numeric")
    assert why == "BudgetError: nothing may be asked any more: the interpreter has given its answer"
    assert np.isnan(np.asarray(found)).all()
    assert answer.queries == kept[0].queries == 0


def test_a_probe_is_closed_when_the_interpreter_has_failed(programs: Any) -> None:
    kept: list[CountedFunction] = []

    def raises(f: CountedFunction, domain: Domain, budget: int, draws: Any) -> Interpretation:
        kept.append(f)
        raise RuntimeError

    box = programs.tiny_lines()[0]
    answer = ask(InterpreterSpec("raises", raises), {}, (box,), 0, budget=9, seed=0, stream="s").interpretation
    assert answer.failure == "RuntimeError: "
    with pytest.raises(BudgetError):
        kept[0]([1.0])


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (SystemExit(0), "SystemExit: 0"),
        (GeneratorExit(), "GeneratorExit: "),
        (SpeechlessError(), "SpeechlessError: (it has no text)"),
        (ValueError("half \ud800"), "ValueError: half ?"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_whatever_is_raised_is_a_failure(programs: Any, error: BaseException, failure: str) -> None:
    def raises(*_: Any) -> Any:
        raise error

    box = programs.tiny_lines()[0]
    answer = ask(InterpreterSpec("raises", raises), {}, (box,), 0, budget=9, seed=0, stream="s")
    assert answer.interpretation.failure == failure
    assert answer.traceback.encode()
    assert run_program(raises, [1.0, 2.0], "numeric")[1] == failure  # type: ignore[arg-type]


def test_a_real_interrupt_passes(programs: Any) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    box = programs.tiny_lines()[0]
    with pytest.raises(KeyboardInterrupt):
        ask(InterpreterSpec("interrupted", interrupted), {}, (box,), 0, budget=9, seed=0, stream="s")
    with pytest.raises(KeyboardInterrupt):
        run_program(interrupted, [1.0], "numeric")  # type: ignore[arg-type]


class Agreeable(str):
    """A string that equals every other one."""

    __slots__ = ()

    def __eq__(self, _: object) -> bool:
        return True

    __hash__ = str.__hash__


class Wide(list[Any]):
    """A list of numbers that turns into more of them."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.ones((len(self), 7))


@pytest.mark.parametrize(
    ("program", "kind", "failure"),
    [
        (lambda xs: np.ones((2, 1)), "numeric", "TypeError: 2 inputs gave ndarray of shape (2, 1)"),
        (lambda xs: 3.0, "numeric", "TypeError: 2 inputs gave float"),
        (lambda xs: np.array([1j, 2]), "numeric", "TypeError: 2 inputs gave complex numbers"),
        (lambda xs: Wide([1.0, 2.0]), "numeric", "TypeError: 2 inputs gave"),
        (lambda xs: np.array([["a"], ["b"]]), "string", "TypeError: 2 inputs gave ndarray of shape (2, 1)"),
        (lambda xs: {"a": 1, "b": 2}, "string", "TypeError: 2 inputs gave dict"),
    ],
)
def test_outputs_are_one_for_each_input(program: Any, kind: Any, failure: str) -> None:
    inputs: Any = [1.0, 2.0] if kind == "numeric" else ["a", "b"]
    assert run_program(program, inputs, kind)[1].startswith(failure)


def test_strings_that_equal_everything_do_not() -> None:
    (found,) = run_program(lambda xs: [Agreeable("x")], ["a"], "string")[0]
    assert type(found) is str
    assert found != "A"
    f = words()
    f([Agreeable("a")])
    assert type(f.asked[0]) is str


def test_odd_facts_are_kept_as_text(programs: Any) -> None:
    facts = {"big": 10**5000, "half": "\udc80", "deep": [np.float64(np.inf), {1: (True,)}], "text": Agreeable("x")}

    def odd(f: CountedFunction, domain: Domain, budget: int, draws: Any) -> Interpretation:
        return Interpretation(squares, "half \ud800", "\ud800", facts=facts)

    box = programs.tiny_lines()[0]
    answer = ask(InterpreterSpec("odd", odd), {}, (box,), 0, budget=9, seed=0, stream="s").interpretation
    assert (answer.description, answer.family) == ("half ?", "?")
    assert answer.facts["big"].startswith("0x")
    assert {k: v for k, v in answer.facts.items() if k != "big"} == {
        "half": "?", "deep": ["inf", {"1": [True]}], "text": "x",
    }  # fmt: skip
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    facts = loop
    assert ask(InterpreterSpec("odd", odd), {}, (box,), 0, budget=9, seed=0, stream="s").interpretation.failure


def test_the_api_passes_exceptions_on_and_no_exits(programs: Any) -> None:
    with pytest.raises(RuntimeError, match="it ended with SystemExit: 3"):
        xb.interpret("exits", lambda x: 3 * x)
