"""Whether the components of a suite go together, and its claims are about something that it has."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

from xaibench.core import registry
from xaibench.core.components import FUNCTION_KINDS, Component, FunctionsSpec, Kind, is_control, missing_needs
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.suite.claims import Scores
from xaibench.suite.entries import Choice, Entry
from xaibench.suite.matrix import EXPLAINING, Suite, components_of
from xaibench.suite.problems import FunctionsEntry


def check_names(suite: Suite, source: str) -> None:
    """Resolve every component, and refuse two that share a name.

    Raises
    ------
    UsageError
        With the first component that is missing, wrong, or called like another one.
    """
    owners: dict[tuple[Kind, str], Choice] = {}
    for group in components_of(suite):
        for choice in group:
            first = owners.setdefault((choice.kind, choice.spec.name), choice)
            if first.spec.function is not choice.spec.function:
                raise UsageError(
                    f"{source}: {first.ref} and {choice.ref} are both called {choice.spec.name!r}",
                    f"decorate one of them with @xaibench.{choice.kind}(...), under a name of its own",
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
                    f"{source}: no {kind} of the suite takes {functions.functions} functions, such as those of {label}",
                    f"known: {', '.join(known)}" if known else None,
                )


def _specs(kind: Kind, entries: Sequence[Entry], folder: Path | None) -> list[Component]:
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
        takes = " or ".join(sorted(spec.needs & set(FUNCTION_KINDS)))
        there = " and ".join(sorted({functions.functions for functions in sets}))
        raise UsageError(f"{what} is about {takes} functions, and the suite has {there} ones only")


_COLUMN = {"functions": "dataset", "interpreter": "explainer"}


def check_claims(suite: Suite, source: str) -> None:
    """Refuse claims about names that the suite does not have.

    Raises
    ------
    UsageError
        With the first name that fits nothing.
    """
    if not suite.claims:
        return
    names: dict[str, set[str]] = {kind: set() for kind in ("dataset", "model", "explainer", "metric")}
    for group in components_of(suite):
        for choice in group:
            names[_COLUMN.get(choice.kind, choice.kind)] |= {choice.spec.name, choice.label}
            if choice.kind == "functions":
                names["model"].add("functions")
    if any(matrix.controls for matrix in suite.matrices()):
        specs = (s for kind in EXPLAINING for s in registry.components(kind))
        names["explainer"] |= {s.name for s in specs if is_control(s)}
    for claim in suite.claims:
        for side in ("left", "right", "reference"):
            wanted: Scores | None = getattr(claim, side)
            for kind, known in names.items() if wanted is not None else ():
                for glob in getattr(wanted, kind):
                    if not any(fnmatchcase(name, glob) for name in known):
                        raise UsageError(
                            f"{source}: claim {claim.id!r} is about {kind} {glob!r}, which the suite does not have",
                            did_you_mean(glob, known),
                        )
