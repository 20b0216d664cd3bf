"""``xaibench show find/numeric/0042``: a function, what was asked of it, and what an interpreter says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from xaibench.api.interpreting import interpret
from xaibench.cli.output import stdout
from xaibench.core import registry
from xaibench.core.components import FunctionsSpec, InterpreterSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.programs import BlackBox, Interpretation, Values
from xaibench.report.functions import Shown, draw_function, function_text

PREFERRED = ("grammar_search", "string_search", "concept_search", "relation_search")
"""Interpreters that are shown when none is named, if they are there."""
LARGEST = 100_000


def show_function(
    name: str,
    *,
    plugins: Sequence[str] | None,
    interpreter: str | None,
    budget: int,
    seed: int,
    png: Path | None,
) -> None:
    """Print, or draw into a file, a function of a registered set."""
    for plugin in plugins or ():
        registry.load_module(plugin)
    box = find_function(name, seed)
    asked: list[Any] = []
    answers: list[Any] = []

    def call(inputs: Values) -> Values:
        found = box.call(inputs)
        asked.extend(inputs)
        answers.extend(found)
        return found

    chosen = interpreter or _preferred(box)
    try:
        answer = interpret(chosen, replace(box, call=call), budget=budget, seed=0)
    except UsageError:
        raise
    except Exception as error:
        answer = Interpretation.failed(f"{type(error).__name__}: {error}", queries=len(asked))
    shown = Shown(box, chosen, answer, asked, answers)
    out = stdout()
    if png is not None:
        draw_function(shown, png)
        out.print(f"{png}: {box.name} and the answer of {chosen}", markup=False, soft_wrap=True)
        return
    out.print(function_text(shown, min(out.width, 100)), markup=False, soft_wrap=True)


def find_function(name: str, seed: int) -> BlackBox:
    """The function of this name, of the set that is called as its name begins, else of any.

    Raises
    ------
    UsageError
        If there is none.
    """
    sets = {f"{spec.name.replace('_', '/')}/": cast(FunctionsSpec, spec) for spec in registry.components("functions")}
    called = [spec for prefix, spec in sets.items() if name.startswith(prefix)]
    for spec in called or sets.values():
        for function in _candidates(spec, name, seed):
            if function.name == name:
                return function
    if called:
        raise UsageError(f"the set {called[0].name} has no function {name!r}", "their numbers begin with 0")
    raise UsageError(f"no function is called {name!r}", did_you_mean(name, [f"{prefix}0000" for prefix in sets]))


def _candidates(spec: FunctionsSpec, name: str, seed: int) -> Iterator[BlackBox]:
    """Functions of the set as it is by default, then of one that is large enough."""
    given = {"seed": seed} if spec.takes("seed") else {}
    yield from spec.function(**spec.bind({}), **given)
    number = name.rpartition("/")[2]
    if "n" in spec.parameters and number.isdecimal() and int(number) < LARGEST:
        yield from spec.function(**spec.bind({"n": int(number) + 1}), **given)


def _preferred(box: BlackBox) -> str:
    """The interpreter to show for a kind of function."""
    specs = [s for s in registry.components("interpreter") if box.kind in s.needs]
    names = [s.name for s in specs if not cast(InterpreterSpec, s).control]
    best = [name for name in PREFERRED if name in names]
    if not names:
        raise UsageError(f"no interpreter takes {box.kind} functions", "name one of your own with --interpreter")
    return (best or names)[0]
