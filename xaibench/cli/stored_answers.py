"""Answers of interpreters that a store holds: shown without asking the interpreter again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from xaibench import suite as suites
from xaibench.core import registry
from xaibench.core.cases.answers import CaseAnswer
from xaibench.core.cases.case import Case
from xaibench.core.errors import UsageError, XaibenchError
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.answers import AnswerCache
from xaibench.core.programs.black_box import BlackBox, Interpretation, printable
from xaibench.core.storage.paths import cache_folder
from xaibench.plan import Unit, expand
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import FunctionProblemSpec
from xaibench.store import Store


@dataclass(frozen=True)
class StoredAnswer:
    """An answer with the function that it is about.

    Attributes
    ----------
    box : BlackBox
    interpreter, problem : str
        As the leaderboard calls them.
    answer : Interpretation
    others : tuple of str
        Further answers of this interpreter for a function of this name, in other sets or with other parameters.
    """

    box: BlackBox
    interpreter: str
    problem: str
    answer: Interpretation
    others: tuple[str, ...]

    def notes(self, store: Path) -> list[str]:
        """Where it is stored, and what else is there."""
        return _notes(store, self.problem, self.others)


@dataclass(frozen=True)
class StoredCaseAnswer:
    """An answer with the case that it is about; attributes as of `StoredAnswer`."""

    case: Case
    interpreter: str
    problem: str
    answer: CaseAnswer
    others: tuple[str, ...]

    def notes(self, store: Path) -> list[str]:
        """Where it is stored, and what else is there."""
        return _notes(store, self.problem, self.others)


def _notes(store: Path, problem: str, others: tuple[str, ...]) -> list[str]:
    return [f"stored in {store}: {problem}", *(f"also stored: {other}" for other in others)]


def stored_answer(
    path: Path, name: str, interpreter: str, params: Mapping[str, Any], seed: int
) -> StoredAnswer | StoredCaseAnswer:
    """The answer of an interpreter with these parameters for a function or case, of the last run that has one.

    Of several sets of functions, the one of that seed comes first.

    Raises
    ------
    UsageError
        If the store has none.
    """
    store = Store(path)
    found: dict[str, tuple[Unit, FunctionProblemSpec]] = {}
    for unit, problem in _units(store, interpreter):
        if any(unit.explainer.params.get(k) != v for k, v in params.items()):
            continue
        label = f"{unit.explainer.label} on {problem.name}, seed {problem.seed}"
        if label not in found and any(r["name"] == name for r in _records(store, unit, problem)):
            found[label] = unit, problem
    if not found:
        raise UsageError(
            f"the store {path} holds no answer of {interpreter} for {name}",
            "`xaibench leaderboard` shows what it holds",
        )
    chosen = next((label for label, (_, problem) in found.items() if problem.seed == seed), next(iter(found)))
    unit, problem = found[chosen]
    functions = Problems(cache_folder()).functions(problem).functions
    i = next(k for k, f in enumerate(functions) if f.name == name)
    spec = cast(InterpreterSpec, unit.spec)
    records = _records(store, unit, problem)
    cache = AnswerCache(
        spec, unit.explainer.params, functions, seed=unit.seed, stream=f"interpret/{spec.name}", records=records
    )
    budgets = [r["budget"] for r in records if r["name"] == name]
    answer = cache.answer(i, problem.budget if problem.budget in budgets else max(budgets))
    others = tuple(label for label in found if label != chosen)
    explained, label = functions[i], f"{problem.name}, seed {problem.seed}"
    if isinstance(explained, Case):
        return StoredCaseAnswer(explained, unit.explainer.label, label, cast(CaseAnswer, answer), others)
    return StoredAnswer(explained, unit.explainer.label, label, cast(Interpretation, answer), others)


def _units(store: Store, interpreter: str) -> Iterator[tuple[Unit, FunctionProblemSpec]]:
    """Units of this interpreter, of all runs, newest first."""
    for manifest in reversed(store.manifests()):
        try:
            with registry.no_new_code():
                units = list(expand(suites.parse({**manifest["resolved_suite"], "claims": []})))
        except (XaibenchError, KeyError):
            continue
        for unit in units:
            if unit.spec.name == interpreter and isinstance(unit.problem, FunctionProblemSpec) and not unit.repeat:
                yield unit, unit.problem


def _records(store: Store, unit: Unit, problem: FunctionProblemSpec) -> list[dict[str, Any]]:
    fingerprint = Problems(cache_folder()).fingerprint(problem)
    return [] if fingerprint is None else store.load_interpretations(unit.explain_key(fingerprint))


def transcript_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """A conversation for people: who, and what; tool calls with their arguments."""
    lines = []
    for message in messages:
        if message.get("content"):
            lines.append(f"{message['role']}: {message['content']}")
        for call in message.get("tool_calls") or ():
            function = call["function"]
            lines.append(f"{message['role']} calls {function['name']}: {_arguments(function['arguments'])}")
    return printable("\n\n".join(lines))


def _arguments(text: str) -> str:
    """Arguments of a tool call, code on lines of its own."""
    try:
        given = json.loads(text)
    except ValueError:
        return text
    if not isinstance(given, dict) or not isinstance(given.get("code"), str):
        return text
    rest = {k: v for k, v in given.items() if k != "code"}
    return f"{json.dumps(rest, ensure_ascii=False)}\n{given['code']}"
