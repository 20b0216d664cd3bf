"""``xaibench show find/numeric/0042``: a function or a case, what was asked of it, and what an interpreter says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from xaibench.api.interpreting import explain_case, interpret
from xaibench.cli.arguments import parse_params
from xaibench.cli.output import stdout
from xaibench.cli.stored_answers import StoredCaseAnswer, stored_answer, transcript_text
from xaibench.core import registry
from xaibench.core.cases.answers import failed_answer
from xaibench.core.cases.case import Case
from xaibench.core.declaration_index import built_in
from xaibench.core.errors import UnsupportedError, UsageError, did_you_mean
from xaibench.core.needs import FUNCTION_KINDS
from xaibench.core.program_specs import FunctionsSpec, InterpreterSpec
from xaibench.core.programs.black_box import AskAgainError, BlackBox, Interpretation, Values, copied_inputs
from xaibench.core.storage.paths import cache_folder
from xaibench.report.cases import ShownCase, case_text
from xaibench.report.functions import Shown, draw_function, function_text

PREFERRED = ("grammar_search", "string_search", "concept_search", "relation_search", "influence_function")
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
    """Print, or draw into a file, a function of a registered set; with ``store`` a stored answer, without asking.

    A case is printed with the answer of an explainer.
    """
    for plugin in plugins or ():
        registry.load_module(plugin)
    out = stdout()
    more: list[str] = []
    if store is None:
        explained, others = find_function(name, seed)
        if isinstance(explained, Case):
            _show_case(_answered_now(explained, others, interpreter, parse_params(params)), [], png)
            return
        shown = _asked_now(explained, interpreter, parse_params(params), budget)
    else:
        if interpreter is None:
            raise UsageError("a store holds answers of many interpreters", "name one with --interpreter")
        found = stored_answer(store, name, interpreter, parse_params(params), seed)
        if isinstance(found, StoredCaseAnswer):
            _show_case(ShownCase(found.case, found.interpreter, found.answer), found.notes(store), png)
            return
        asked = list(found.answer.facts.get("asked", ()))
        answers = list(found.box.call(copied_inputs(asked, found.box.kind))) if asked else []
        shown = Shown(found.box, found.interpreter, found.answer, asked, answers)
        more = found.notes(store)
    if png is not None:
        draw_function(shown, png)
        out.print(f"{png}: {name} and the answer of {shown.interpreter}", markup=False, soft_wrap=True)
        return
    messages = shown.answer.facts.get("transcript")
    text = "\n".join([function_text(shown, min(out.width, 100)), *more])
    out.print(
        f"{text}\n\n{transcript_text(messages)}" if messages else text, markup=False, highlight=False, soft_wrap=True
    )


def _show_case(shown: ShownCase, more: list[str], png: Path | None) -> None:
    """Print a case with an answer.

    Raises
    ------
    UnsupportedError
        If a picture is wanted.
    """
    if png is not None:
        raise UnsupportedError("cases have no picture", "leave out --png for text")
    out = stdout()
    text = "\n".join([case_text(shown, min(out.width, 100)), *more])
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _answered_now(case: Case, others: Sequence[Case], interpreter: str | None, params: Mapping[str, Any]) -> ShownCase:
    """A case and the answer that an explainer gives now."""
    chosen = interpreter or _preferred(case.kind)
    try:
        answer = explain_case(chosen, case, others=others, seed=0, **params)
    except (UsageError, UnsupportedError, AskAgainError):
        raise
    except Exception as error:
        answer = failed_answer(case.truth, f"{type(error).__name__}: {error}")
    return ShownCase(case, chosen, answer)


def _asked_now(box: BlackBox, interpreter: str | None, params: Mapping[str, Any], budget: int) -> Shown:
    """A function and the answer that an interpreter gives now."""
    asked: list[Any] = []
    answers: list[Any] = []

    def call(inputs: Values) -> Values:
        found = box.call(inputs)
        asked.extend(inputs)
        answers.extend(found)
        return found

    chosen = interpreter or _preferred(box.kind)
    try:
        answer = interpret(chosen, replace(box, call=call), budget=budget, seed=0, **params)
    except (UsageError, AskAgainError):
        raise
    except Exception as error:
        answer = Interpretation.failed(f"{type(error).__name__}: {error}", queries=len(asked))
    return Shown(box, chosen, answer, asked, answers)


def find_function(name: str, seed: int) -> tuple[BlackBox | Case, tuple[Any, ...]]:
    """The function or case of this name, and its set.

    Names begin with that of their set, in which ``/`` may stand for ``_``; those of a user's sets need not.

    Raises
    ------
    UsageError
        If there is none.
    """
    sets = [cast(FunctionsSpec, spec) for spec in registry.components("functions")]
    words = _words(name)
    called = [spec for spec in sets if words[: len(_words(spec.name))] == _words(spec.name)]
    called.sort(key=lambda spec: -len(_words(spec.name)))
    # Sets of this package are not made in vain: some of them train networks.
    for spec in called[:1] or [spec for spec in sets if not built_in(spec)]:
        for found in _candidates(spec, name, seed):
            for function in found:
                if function.name == name:
                    return function, found
    if called:
        raise UsageError(f"the set {called[0].name} has no function {name!r}", "their numbers begin with 0")
    begins = [f"{spec.name.replace('_', '/')}/0000" for spec in sets]
    raise UsageError(f"no function is called {name!r}", did_you_mean(name, begins))


def _words(name: str) -> list[str]:
    return re.split("[/_]", name)


def _candidates(spec: FunctionsSpec, name: str, seed: int) -> Iterator[tuple[Any, ...]]:
    """The set as it is by default, then one that is large enough."""
    special = {"seed": seed, "cache": cache_folder()}
    given = {k: v for k, v in special.items() if spec.takes(k)}
    yield tuple(spec.function(**spec.bind({}), **given))
    number = name.rpartition("/")[2]
    if "n" in spec.parameters and number.isdecimal() and int(number) < MAX_SHOWN_NUMBER:
        yield tuple(spec.function(**spec.bind({"n": int(number) + 1}), **given))


def _preferred(kind: str) -> str:
    """The interpreter to show for a kind of functions or cases."""
    specs = [s for s in registry.components("interpreter") if s.takes_kind(kind)]
    names = [s.name for s in specs if not cast(InterpreterSpec, s).control]
    best = [name for name in PREFERRED if name in names]
    if not names:
        noun = "functions" if kind in FUNCTION_KINDS else "cases"
        raise UsageError(f"no interpreter takes {kind} {noun}", "name one of your own with --interpreter")
    return (best or names)[0]
