"""``xaibench show find/numeric/0042``: a function, what was asked of it, and what an interpreter says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from xaibench.api.interpreting import interpret
from xaibench.cli.arguments import parse_params
from xaibench.cli.output import stdout
from xaibench.cli.stored_answers import stored_answer, transcript_text
from xaibench.core import registry
from xaibench.core.components import FunctionsSpec, InterpreterSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.programs.black_box import AskAgainError, BlackBox, Interpretation, Values, copied_inputs
from xaibench.report.functions import Shown, draw_function, function_text

PREFERRED = ("grammar_search", "string_search", "concept_search", "relation_search")
"""Interpreters that are shown when none is named, if they are there."""
MAX_SHOWN_NUMBER = 100_000


def show_function(
    name: str,
    *,
    plugins: Sequence[str] | None,
    interpreter: str | None,
    params: Sequence[str] | None,
    budget: int,
    seed: int,
    store: Path | None,
    png: Path | None,
) -> None:
    """Print, or draw into a file, a function of a registered set; with ``store`` a stored answer, without asking."""
    for plugin in plugins or ():
        registry.load_module(plugin)
    out = stdout()
    more: list[str] = []
    if store is None:
        shown = _asked_now(name, interpreter, parse_params(params), budget, seed)
    else:
        if interpreter is None:
            raise UsageError("a store holds answers of many interpreters", "name one with --interpreter")
        found = stored_answer(store, name, interpreter, parse_params(params), seed)
        asked = list(found.answer.facts.get("asked", ()))
        answers = list(found.box.call(copied_inputs(asked, found.box.kind))) if asked else []
        shown = Shown(found.box, found.interpreter, found.answer, asked, answers)
        more = [f"kept in {store}: {found.problem}", *(f"also there: {other}" for other in found.others)]
    if png is not None:
        draw_function(shown, png)
        out.print(f"{png}: {name} and the answer of {shown.interpreter}", markup=False, soft_wrap=True)
        return
    messages = shown.answer.facts.get("transcript")
    text = "\n".join([function_text(shown, min(out.width, 100)), *more])
    out.print(
        f"{text}\n\n{transcript_text(messages)}" if messages else text, markup=False, highlight=False, soft_wrap=True
    )


def _asked_now(name: str, interpreter: str | None, params: Mapping[str, Any], budget: int, seed: int) -> Shown:
    """A function and the answer that an interpreter gives now."""
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
        answer = interpret(chosen, replace(box, call=call), budget=budget, seed=0, **params)
    except (UsageError, AskAgainError):
        raise
    except Exception as error:
        answer = Interpretation.failed(f"{type(error).__name__}: {error}", queries=len(asked))
    return Shown(box, chosen, answer, asked, answers)


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
    if "n" in spec.parameters and number.isdecimal() and int(number) < MAX_SHOWN_NUMBER:
        yield from spec.function(**spec.bind({"n": int(number) + 1}), **given)


def _preferred(box: BlackBox) -> str:
    """The interpreter to show for a kind of function."""
    specs = [s for s in registry.components("interpreter") if box.kind in s.needs]
    names = [s.name for s in specs if not cast(InterpreterSpec, s).control]
    best = [name for name in PREFERRED if name in names]
    if not names:
        raise UsageError(f"no interpreter takes {box.kind} functions", "name one of your own with --interpreter")
    return (best or names)[0]
