"""Small sets of functions, and interpreters and program metrics that go right and wrong in known ways."""

import contextlib
import functools
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import xaibench as xb
from xaibench.core.programs.black_box import AskAgainError

ASKED: list[str] = []
"""Interpreter of every answer that was asked for in this process."""
SWITCHES: set[str] = set()
"""What goes wrong at the moment."""
POINTS = np.linspace(-10, 10, 21)


def _line(i: int, seed: int) -> xb.BlackBox:
    slope, bias = float(i + 1), float(10 * seed + i)

    def line(x: np.ndarray) -> np.ndarray:
        return slope * x + bias

    return xb.BlackBox(
        f"tiny/{i:04d}",
        "numeric",
        line,
        line,
        xb.Domain(-10.0, 10.0),
        "linear",
        {"m": slope, "b": bias},
        f"the line {slope:g} x + {bias:g}",
        POINTS,
    )


@xb.function_set("tiny_lines", kind="numeric")
def tiny_lines(*, seed: int = 0, n: int = 20) -> tuple[xb.BlackBox, ...]:
    """Lines of rising slope."""
    return tuple(_line(i, seed) for i in range(n))


@xb.function_set("tiny_strings", kind="string")
def tiny_strings(*, seed: int = 0) -> tuple[xb.BlackBox, ...]:
    """Two functions of words."""
    words = ("ab", "cde", "f", "gh")
    made = {"upper": lambda xs: [x.upper() for x in xs], "reverse": lambda xs: [x[::-1] for x in xs]}
    return tuple(
        xb.BlackBox(f"words/{name}", "string", call, call, xb.Domain(words=words), name, {}, name, ["xy", "z"])
        for name, call in made.items()
    )


def counted(function):
    """Leave a trace of every call."""

    @functools.wraps(function)
    def wrapped(f, *args, **kwargs):
        ASKED.append(function.__name__)
        return function(f, *args, **kwargs)

    return wrapped


@xb.interpreter("two_points", takes={"numeric"})
@counted
def two_points(f, domain, budget, draws, *, shift: float = 0.0) -> xb.Interpretation:
    """The line through two probes, moved up."""
    x = np.sort(draws.uniform(domain.low, domain.high, 2))
    y = f(x)
    slope = (y[1] - y[0]) / (x[1] - x[0])
    bias = y[0] - slope * x[0] + shift
    return xb.Interpretation(lambda z: slope * z + bias, "a line", "linear", facts={"slope": slope})


@xb.interpreter("zero", takes={"numeric"})
def zero(f, domain, budget, draws) -> xb.Interpretation:
    """Says 0, asks nothing."""
    return xb.Interpretation(lambda z: np.zeros(len(z)), "zero", "constant")


@xb.interpreter("upper_case", takes={"string"})
def upper_case(f, domain, budget, draws) -> xb.Interpretation:
    """Says that words become upper case."""
    f(list(domain.words))
    return xb.Interpretation(lambda xs: [x.upper() for x in xs], "upper case", "upper")


@xb.interpreter("clumsy", takes={"numeric"})
def clumsy(f, domain, budget, draws) -> xb.Interpretation:
    """Goes wrong in another way on each of the first functions, and knows the others."""
    slope = round(float(np.diff(f(np.array([0.0, 1.0])))[0]))
    if slope == 1:
        raise ValueError("no idea")
    if slope == 2:
        f(np.zeros(budget))
    if slope == 3:
        return "a line"
    if slope == 4:
        return xb.Interpretation(lambda z: 1 / 0, "divides by zero", "linear")
    if slope == 5:
        return xb.Interpretation(lambda z: z[:0], "too short", "linear")
    if slope == 6:
        return xb.Interpretation(lambda z: z, intervals=((2.0, 1.0),))
    bias = float(f(np.array([0.0]))[0])
    return xb.Interpretation(lambda z: slope * z + bias, "a line", "linear")


def _from_facts(facts, domain):
    return lambda z: facts["slope"] * z + facts["bias"]


@xb.interpreter("stops", takes={"numeric"})
@counted
def stops(f, domain, budget, draws) -> xb.Interpretation:
    """Knows every line; somebody presses Ctrl-C at the tenth."""
    bias, slope = f(np.array([0.0, 1.0])) @ np.array([[1, -1], [0, 1]])
    if round(slope) == 10 and "ctrl-c" in SWITCHES:
        os.kill(os.getpid(), signal.SIGINT)
    return xb.Interpretation(lambda z: slope * z + bias, "a line", "linear")


@xb.interpreter("offline", takes={"numeric"}, restore=_from_facts)
@counted
def offline(f, domain, budget, draws) -> xb.Interpretation:
    """Knows every line; the connection drops at the tenth."""
    bias, slope = f(np.array([0.0, 1.0])) @ np.array([[1, -1], [0, 1]])
    if round(slope) == 10 and "offline" in SWITCHES:
        raise AskAgainError("the connection was dropped")
    facts = {"slope": slope, "bias": bias}
    return xb.Interpretation(_from_facts(facts, domain), "a line", "linear", facts=facts)


@xb.interpreter("fickle", takes={"numeric"})
def fickle(f, domain, budget, draws) -> xb.Interpretation:
    """Says 0, and cannot be asked while the connection is down."""
    if "offline" in SWITCHES:
        raise AskAgainError("the connection was dropped")
    return xb.Interpretation(lambda z: np.zeros(len(z)), "zero", "constant")


@xb.interpreter("without_library", takes={"numeric"})
def without_library(f, domain, budget, draws) -> xb.Interpretation:
    """Needs something that is not installed."""
    raise xb.UnsupportedError("this needs a library")


@xb.interpreter("remembers", takes={"numeric"}, restore=_from_facts)
@counted
def remembers(f, domain, budget, draws) -> xb.Interpretation:
    """Knows every line, and its facts say it all."""
    y = f(np.array([0.0, 1.0]))
    facts = {"slope": y[1] - y[0], "bias": y[0]}
    return xb.Interpretation(_from_facts(facts, domain), "a line", "linear", facts=facts)


@xb.interpreter("always_raises", takes={"numeric"})
def always_raises(f, domain, budget, draws) -> xb.Interpretation:
    """Is broken."""
    raise RuntimeError("this interpreter is broken")


@xb.interpreter("exits", takes={"numeric"})
def exits(f, domain, budget, draws) -> xb.Interpretation:
    """Knows every line; ends the process at the third, and in the program for the fourth."""
    bias, slope = f(np.array([0.0, 1.0])) @ np.array([[1, -1], [0, 1]])
    if round(slope) == 3:
        sys.exit(3)
    return xb.Interpretation(lambda z: sys.exit() if round(slope) == 4 else slope * z + bias, "a line", "linear")


@xb.interpreter("sleeps", takes={"numeric"}, restore=_from_facts)
@counted
def sleeps(f, domain, budget, draws, *, flag: str) -> xb.Interpretation:
    """Knows every line; from the fifth on a file makes it sleep, whatever happens, and say so in another."""
    y = f(np.array([0.0, 1.0]))
    until = time.monotonic() + 60
    while y[1] - y[0] >= 5 and Path(flag).exists() and time.monotonic() < until:
        Path(f"{flag}.asleep").touch()
        with contextlib.suppress(BaseException):
            time.sleep(60)
    facts = {"slope": y[1] - y[0], "bias": y[0]}
    return xb.Interpretation(_from_facts(facts, domain), "a line", "linear", facts=facts)


@xb.metric("tiny_fit", family="ground_truth", higher_is_better=True, bounds=(0, 1), needs={"program"}, skill_valid=True)
def tiny_fit(ev: xb.ProgramEvaluation, *, close: float = 1.0) -> np.ndarray:
    """Share of test inputs with the right output, 0 without a program."""
    found = []
    for i, f in enumerate(ev.functions):
        wanted, got = ev.truth(i, f.test_inputs), ev.predict(i, f.test_inputs)
        if f.kind == "numeric":
            found.append(np.mean(np.abs(wanted - got) < close))
        else:
            found.append(np.mean([a == b for a, b in zip(wanted, got, strict=True)]))
    return np.array(found)


@xb.metric("tiny_numbers", family="complexity", higher_is_better=False, needs={"program", "numeric"})
def tiny_numbers(ev: xb.ProgramEvaluation) -> np.ndarray:
    """Output at 3, undefined without a program."""
    return np.array([ev.predict(i, np.array([3.0]))[0] for i in range(len(ev))])


@xb.metric("tiny_new_points", family="complexity", higher_is_better=False, needs={"program", "numeric"})
def tiny_new_points(ev: xb.ProgramEvaluation, *, at: float = 7.0) -> np.ndarray:
    """Output at another point."""
    return np.array([ev.predict(i, np.array([at]))[0] for i in range(len(ev))])


@xb.metric("tiny_other_budget", family="ground_truth", higher_is_better=True, needs={"program", "numeric"})
def tiny_other_budget(ev: xb.ProgramEvaluation, *, budget: int = 4) -> np.ndarray:
    """The fit of answers with another budget."""
    return tiny_fit(ev.interpret(budget))


@xb.metric("tiny_breaks", family="ground_truth", higher_is_better=True, needs={"program"})
def tiny_breaks(ev: xb.ProgramEvaluation) -> np.ndarray:
    """Is broken."""
    raise RuntimeError("this metric is broken")
