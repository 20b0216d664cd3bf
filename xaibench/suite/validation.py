"""Validation of suites: components fit together, and claims are about something that the suite has."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from xaibench.core import registry
from xaibench.core.component_files import is_file_reference
from xaibench.core.components import Component, Kind
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.keys import canonical_json
from xaibench.core.needs import missing_needs
from xaibench.core.program_specs import FunctionsSpec, is_control
from xaibench.suite.claims import ScoreSelection
from xaibench.suite.matrix import EXPLAINING, Suite, components_of
from xaibench.suite.problems import FunctionsEntry
from xaibench.suite.references import ComponentEntry, ComponentRef


def check_names(suite: Suite, source: str) -> None:
    """Resolve every component, and refuse two that share a name.

    Raises
    ------
    UsageError
        With the first component that is missing, wrong, or called like another one.
    """
    owners: dict[tuple[Kind, str], ComponentRef] = {}
    labels: dict[tuple[Kind, str], ComponentRef] = {}
    for group in components_of(suite):
        for choice in group:
            first = owners.setdefault((choice.kind, choice.spec.name), choice)
            _check_file(choice, first, labels, source)
            if _defined(first) != _defined(choice):
                raise UsageError(
                    f"{source}: {first.ref} and {choice.ref} are both called {choice.spec.name!r}",
                    f"decorate one of them with @xaibench.{choice.kind}(...), under a name of its own",
                )


def _defined(choice: ComponentRef) -> Any:
    """What two choices have in common that are one component: the function, or the file."""
    function = choice.spec.function
    return getattr(function, "source_path", function)


def _check_file(
    choice: ComponentRef, first: ComponentRef, labels: dict[tuple[Kind, str], ComponentRef], source: str
) -> None:
    """Refuse two files, or one file with other parameters, that results could not distinguish."""
    if not (is_file_reference(choice.ref) or is_file_reference(first.ref)):
        return
    same = labels.setdefault((choice.kind, choice.label), choice)
    if _defined(first) != _defined(choice) or same.bound != choice.bound:
        raise UsageError(
            f"{source}: two {choice.kind}s are called {choice.label!r}",
            'give one of them a name: { file = "...", name = "mine" }',
        )


def check_fitted(suite: Suite, source: str) -> None:
    """Refuse several problem seeds with models that are files: they are fitted once and for all.

    Raises
    ------
    UsageError
        With the first such model.
    """
    if len(suite.problem_seeds) < 2:
        return
    entries = [m for p in suite.problems if not isinstance(p, FunctionsEntry) for m in p.models if m.file is not None]
    if entries:
        raise UsageError(
            f"{source}: the model {entries[0].file} is a file and cannot be trained again, so that problem_seeds = "
            f"{suite.problem_seeds} would compare it with itself",
            "leave problem_seeds out, or put this model into a suite of its own",
        )


def check_company(suite: Suite, source: str) -> None:
    """Refuse what fits no problem of the suite, and problems that nothing interprets or scores.

    Raises
    ------
    UsageError
        With the first component or problem that is alone.
    """
    entries = [p.functions for p in suite.problems if isinstance(p, FunctionsEntry)]
    sets = {c.label: cast(FunctionsSpec, c.spec) for e in entries for c in e.choices("functions", suite.folder)}
    with_data = len(suite.problems) > len(entries)
    named = {
        "explainer": _specs("explainer", suite.explainers, suite.folder),
        "interpreter": _specs("interpreter", suite.interpreters, suite.folder),
        "metric": _specs("metric", suite.metrics, suite.folder),
    }
    for spec in itertools.chain(*named.values()):
        _check_place(spec, list(sets.values()), with_data, source)
    if with_data and all(spec.about_programs for spec in named["metric"]):
        raise UsageError(f"{source}: the problems with a dataset have no metric", "all metrics are about programs")
    if suite.controls:
        named["interpreter"] += [s for s in registry.components("interpreter") if is_control(s)]
    for label, functions in sets.items():
        for kind in ("interpreter", "metric"):
            if not any(_fits(spec, functions) for spec in named[kind]):
                known = [s.name for s in registry.components(kind) if _fits(s, functions)]
                raise UsageError(
                    f"{source}: no {kind} of the suite takes {functions.noun}, such as those of {label}",
                    f"known: {', '.join(known)}" if known else None,
                )


def _specs(kind: Kind, entries: Sequence[ComponentEntry], folder: Path | None) -> list[Component]:
    return [choice.spec for entry in entries for choice in entry.choices(kind, folder)]


def _fits(spec: Component, functions: FunctionsSpec) -> bool:
    """Whether a component is about functions of this kind."""
    return spec.about_programs and not missing_needs(spec.needs, functions.provides)


def _check_place(spec: Component, sets: Sequence[FunctionsSpec], with_data: bool, source: str) -> None:
    """Raise UsageError if there is no problem that a component goes with."""
    what = f"{source}: {spec.kind} {spec.name!r}"
    if not spec.about_programs:
        if not with_data:
            raise UsageError(
                f"{what} explains or scores models, and the suite has functions only",
                "add a problem with a dataset and models, or remove it",
            )
    elif not sets:
        raise UsageError(
            f"{what} is about programs, and no problem of the suite has functions",
            'add a problem such as { functions = "find_numeric" }, or remove it',
        )
    elif not any(_fits(spec, functions) for functions in sets):
        takes = " or ".join(sorted(spec.kinds_taken)) or "all"
        there = " and ".join(sorted({functions.functions for functions in sets}))
        noun = "cases" if spec.about_cases else "functions"
        raise UsageError(f"{what} is about {takes} {noun}, and the suite has {there} ones only")


def check_claims(suite: Suite, source: str) -> None:
    """Refuse claims about names, or about values of parameters, that the suite does not have.

    Raises
    ------
    UsageError
        With the first that fits nothing.
    """
    if not suite.claims:
        return
    choices = [choice for group in components_of(suite) for choice in group]
    if any(matrix.controls for matrix in suite.matrices()):
        controls = (s for kind in EXPLAINING for s in registry.components(kind) if is_control(s))
        choices += [ComponentRef.of(s.kind, s.name, {}) for s in controls]
    names: dict[str, set[str]] = {kind: set() for kind in ("dataset", "model", "explainer", "metric")}
    for choice in choices:
        names[_column(choice)] |= {choice.spec.name, choice.label}
        if choice.kind == "functions":
            spec = cast(FunctionsSpec, choice.spec)
            names["model"].add(spec.functions if spec.holds_cases else "functions")
    for claim in suite.claims:
        for side in ("left", "right", "reference"):
            wanted: ScoreSelection | None = getattr(claim, side)
            if wanted is None:
                continue
            for kind, known in names.items():
                for glob in getattr(wanted, kind):
                    if not any(fnmatchcase(name, glob) for name in known):
                        raise UsageError(
                            f"{source}: claim {claim.id!r} is about {kind} {glob!r}, which the suite does not have",
                            did_you_mean(glob, known),
                        )
            about = f"{source}: the {side} side of claim {claim.id!r}"
            _check_controls(about, wanted.explainer, choices)
            _check_params(about, "explainer", wanted.explainer, wanted.explainer_params, choices)
            if wanted.gate is None:
                _check_params(about, "metric", wanted.metric, wanted.params, choices)


def _column(choice: ComponentRef) -> str:
    """The column of a leaderboard in which a component stands."""
    return {"functions": "dataset", "interpreter": "explainer"}.get(choice.kind, choice.kind)


def _check_controls(about: str, globs: list[str], choices: list[ComponentRef]) -> None:
    """Refuse a pattern that only controls fit: results of controls are taken by their full names, so it takes none."""
    for glob in globs:
        specs = [
            c.spec
            for c in choices
            if _column(c) == "explainer" and any(fnmatchcase(n, glob) for n in (c.spec.name, c.label))
        ]
        names = sorted({spec.name for spec in specs})
        if specs and glob not in names and all(is_control(spec) for spec in specs):
            raise UsageError(
                f"{about} names controls by the pattern {glob!r}, and controls are taken by their names only",
                f"write {' and '.join(map(repr, names))}",
            )


def _check_params(
    about: str, column: str, globs: list[str], wanted: dict[str, Any], choices: list[ComponentRef]
) -> None:
    """Refuse parameters of a claim that no component has which it names."""
    named = [
        c
        for c in choices
        if _column(c) == column and any(fnmatchcase(n, g) for n in (c.spec.name, c.label) for g in globs)
    ]
    bound = [json.loads(choice.bound) for choice in named]
    if any(has_params(one, wanted) for one in bound):
        return
    known = {name for one in bound for name in one}
    hint = "each of these values is in the suite, but no component has all of them"
    for name, value in wanted.items():
        if name not in known:
            hint = did_you_mean(name, known)
        elif not any(has_params(one, {name: value}) for one in bound):
            there = dict.fromkeys(canonical_json(one[name]) for one in bound if name in one)
            hint = f"the suite has {name} = {', '.join(there)}"
    given = ", ".join(f"{name} = {canonical_json(value)}" for name, value in wanted.items())
    raise UsageError(f"{about} wants {given}, which no {column} {' or '.join(map(repr, globs))} of the suite has", hint)


def has_params(bound: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether parameters (as JSON has them) include all that are wanted; lists and tuples are the same."""
    return all(name in bound and _same(bound[name], value) for name, value in wanted.items())


def _same(a: Any, b: Any) -> bool:
    return bool(list(a) == list(b)) if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) else bool(a == b)
