"""Suite files: TOML, validated, with every name and parameter checked before anything runs."""

from __future__ import annotations

import difflib
import itertools
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pydantic
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from xaibench.core import registry
from xaibench.core.components import (
    FUNCTION_KINDS,
    Component,
    FunctionsSpec,
    InterpreterSpec,
    Kind,
    is_control,
    missing_needs,
)
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.keys import canonical_json
from xaibench.core.outputs import Output
from xaibench.core.paths import shipped

DEFAULT_SUITE = "quick"


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Seed = Annotated[int, Field(ge=0, lt=2**31)]
Globs = Annotated[list[str], BeforeValidator(_as_list)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Part):
    """A component by name, ``module:name`` or ``file.py:name``, with parameters.

    ``grid`` lists several values for a parameter; every combination becomes an entry of its own.
    """

    name: str
    params: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)

    def choices(self, kind: Kind, folder: Path | None) -> Iterator[Choice]:
        """Every combination of the grid, with checked parameters."""
        names = list(self.grid)
        for values in itertools.product(*self.grid.values()):
            yield Choice.of(kind, self.name, {**self.params, **dict(zip(names, values, strict=True))}, folder)


class MetricEntry(Entry):
    """A metric; ``output`` measures another output than the metric's rule says."""

    output: Output | None = None


Entries = list[Annotated[Entry, BeforeValidator(_as_entry)]]
MetricEntries = list[Annotated[MetricEntry, BeforeValidator(_as_entry)]]


class ProblemEntry(_Part):
    """A data set and the models that are fitted to it."""

    dataset: Annotated[Entry, BeforeValidator(_as_entry)]
    models: Entries = Field(min_length=1)
    samples: int | None = Field(default=None, ge=1)
    output: Output | None = None


class FunctionsEntry(_Part):
    """A set of functions that are interpreted.

    ``samples`` takes the first functions of the set only; ``budget`` is the number of questions to
    each, instead of the suite's.
    """

    functions: Annotated[Entry, BeforeValidator(_as_entry)]
    samples: int | None = Field(default=None, ge=1)
    budget: int | None = Field(default=None, ge=1)


def _kind_of_problem(value: Any) -> str:
    """Which of the two a problem is; what names neither is taken for a data set with something missing."""
    named = value.keys() if isinstance(value, dict) else ("functions",) if isinstance(value, FunctionsEntry) else ()
    return "functions" if "functions" in named and "dataset" not in named else "dataset"


AnyProblem = Annotated[
    Annotated[ProblemEntry, Tag("dataset")] | Annotated[FunctionsEntry, Tag("functions")],
    Discriminator(_kind_of_problem),
]


class Rule(_Part):
    """Matches cells whose names match every given list of globs.

    Names are compared as the leaderboard shows them, with the parameters that the suite gives
    (``lime(width=0.5)``), and without them.
    """

    dataset: Globs = ["*"]
    model: Globs = ["*"]
    explainer: Globs = ["*"]
    metric: Globs = ["*"]

    def matches(self, dataset: str, model: str, explainer: str, metric: str) -> bool:
        pairs = ((dataset, self.dataset), (model, self.model), (explainer, self.explainer), (metric, self.metric))
        both = (((name, name.partition("(")[0]), globs) for name, globs in pairs)
        return all(any(fnmatchcase(name, glob) for name in names for glob in globs) for names, globs in both)


class Scores(_Part):
    """Which scores a side of a claim is about.

    Attributes
    ----------
    dataset, model, explainer, metric : globs
        Matched with names as the leaderboard shows them (``suppressor(c=0.4)``), and with bare names.
    params, explainer_params : dict
        Parameters of the metric and of the explainer that must have these values.
    output : str, optional
        The output that the suite asks the metric to measure.
    gate : str, optional
        The measured values of this gate, one per trained model, instead of scores.
    every : bool
        The claim must hold for each matched explainer (gates: for each problem) on its own, not for their mean.
        If both sides say so for the same explainers, each is compared with itself.
    """

    dataset: Globs = ["*"]
    model: Globs = ["*"]
    explainer: Globs = ["*"]
    metric: Globs = ["*"]
    params: dict[str, Any] = Field(default_factory=dict)
    explainer_params: dict[str, Any] = Field(default_factory=dict)
    output: Output | None = None
    gate: str | None = None
    every: bool = False


class Claim(_Part):
    """A published statement as an executable test.

    The effect is ``left - right``, or ``left - number``; the claim is that it is greater than
    ``margin``, less than ``-margin``, or within ``margin`` of 0.

    Attributes
    ----------
    id, source, statement : str
    left : Scores
    right : Scores, optional
    number : float, optional
    direction : {"greater", "less", "equal"}
    margin : float
    unit : {"sample", "training"}
        What is independent: the samples (given these models), or the trained models (problem seeds).
    statistic : {"mean", "agreement"}
        Mean score; or Kendall's tau between the explainers' values on this metric and on ``reference``.
    reference : Scores, optional
        What ``agreement`` compares with; only its metric, params and output count.
    despite : globs
        Gates that may fail without making the claim inconclusive.
    """

    id: str = Field(min_length=1, pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    source: str = Field(min_length=1)
    statement: str = Field(min_length=1)
    left: Scores
    right: Scores | None = None
    number: float | None = Field(default=None, allow_inf_nan=False)
    direction: Literal["greater", "less", "equal"] = "greater"
    margin: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    unit: Literal["sample", "training"] = "sample"
    statistic: Literal["mean", "agreement"] = "mean"
    reference: Scores | None = None
    despite: Globs = []

    @pydantic.model_validator(mode="after")
    def _is_complete(self) -> Claim:
        if (self.right is None) == (self.number is None):
            raise ValueError("a claim compares left with right or with a number, and not with both")
        if (self.statistic == "agreement") != (self.reference is not None):
            raise ValueError("agreement needs a reference, and nothing else has one")
        if self.statistic == "agreement" and self.unit != "training":
            raise ValueError('agreement is one number per trained model: unit = "training"')
        if self.direction == "equal" and self.margin == 0:
            raise ValueError("nothing measured is exactly equal: give a margin")
        return self


class Suite(_Part):
    """A matrix of problems, explainers, metrics and seeds, and the claims that it tests.

    Problems of functions go with interpreters and with metrics that need ``program``, problems of
    data sets with explainers and all other metrics, so that one suite may hold both.

    Attributes
    ----------
    samples : int
        Test samples per problem, the first ones of the (shuffled) test split.
    target : {"predicted", "label"}
        Which class is explained.
    background : int
        Training samples that serve as reference.
    budget : int
        Questions that interpreters may ask of each function.
    seeds, problem_seeds : list of int
        Seeds of explaining and scoring, and of data and training.
    controls : bool
        Put every control into the matrix.
    random_draws : int
        Draws of the random control where skill needs them.
    include, exclude : list of Rule
        Keep only what matches an include rule (if any), and nothing that matches an exclude rule.
    claims : list of Claim
    parts : list of Suite
        Suites (in the file: names or paths) whose matrices and claims belong to this one.
    """

    name: str = Field(min_length=1)
    description: str = ""
    samples: int = Field(default=64, ge=1)
    target: Literal["predicted", "label"] = "predicted"
    background: int = Field(default=64, ge=1)
    budget: int = Field(default=128, ge=1)
    seeds: list[Seed] = Field(default=[0], min_length=1)
    problem_seeds: list[Seed] = Field(default=[0], min_length=1)
    controls: bool = True
    random_draws: int = Field(default=10, ge=1)
    problems: list[AnyProblem] = Field(default_factory=list)
    explainers: Entries = Field(default_factory=list)
    interpreters: Entries = Field(default_factory=list)
    metrics: MetricEntries = Field(default_factory=list)
    include: list[Rule] = Field(default_factory=list)
    exclude: list[Rule] = Field(default_factory=list)
    claims: list[Claim] = Field(default_factory=list)
    parts: list[Suite] = Field(default_factory=list)
    folder: Path | None = Field(default=None, exclude=True)

    def shifted(self, base: int) -> Suite:
        """The same suite with both lists of seeds offset by ``base``."""
        moved: dict[str, Any] = {k: [s + base for s in getattr(self, k)] for k in ("seeds", "problem_seeds")}
        return self.model_copy(update={**moved, "parts": [part.shifted(base) for part in self.parts]})

    def matrices(self) -> Iterator[Suite]:
        """This suite, if it has a matrix of its own, then those of its parts."""
        if self.problems:
            yield self
        for part in self.parts:
            yield from part.matrices()

    def all_claims(self) -> list[Claim]:
        """Claims of this suite and of its parts."""
        return [*self.claims, *(claim for part in self.parts for claim in part.all_claims())]

    @pydantic.model_validator(mode="after")
    def _has_a_matrix(self) -> Suite:
        for name in ("problems", "metrics"):
            if not getattr(self, name) and (self.problems or self.metrics or not self.parts):
                raise ValueError(f"{name} must not be empty")
        ids = Counter(claim.id for claim in self.all_claims())
        twice = [name for name, count in ids.items() if count > 1]
        if twice:
            raise ValueError(f"two claims have the id {twice[0]!r}")
        return self

    def selects(self, dataset: str, model: str, explainer: str, metric: str) -> bool:
        """Whether the include and exclude rules keep this cell."""
        names = (dataset, model, explainer, metric)
        kept = not self.include or any(rule.matches(*names) for rule in self.include)
        return kept and not any(rule.matches(*names) for rule in self.exclude)


@dataclass(frozen=True)
class Choice:
    """A component with checked parameters, as plain data that any process can resolve.

    Two choices are equal if they mean the same, however the parameters were given.
    """

    kind: Kind
    ref: str
    given: str = field(compare=False)
    bound: str
    folder: Path | None = None

    @classmethod
    def of(cls, kind: Kind, ref: str, params: dict[str, Any], folder: Path | None = None) -> Choice:
        """Resolve a reference and check its parameters.

        Raises
        ------
        UsageError
            If there is no such component, or it has no such parameter.
        """
        bound = registry.get(kind, ref, folder=folder).bind(params)
        return cls(kind, ref, canonical_json(params), canonical_json(bound), folder)

    @property
    def spec(self) -> Component:
        return registry.get(self.kind, self.ref, folder=self.folder)

    @cached_property
    def params(self) -> dict[str, Any]:
        """All parameters, defaults included."""
        return self.spec.bind(json.loads(self.bound))

    @property
    def label(self) -> str:
        """Name for people: with the parameters that were given, if any."""
        given = json.loads(self.given)
        inside = ",".join(f"{k}={v}" for k, v in sorted(given.items()))
        return f"{self.spec.name}({inside})" if inside else self.spec.name

    @property
    def identity(self) -> list[Any]:
        unkeyed = self.spec.unkeyed if isinstance(self.spec, InterpreterSpec) else frozenset()
        if not unkeyed:
            return [self.spec.name, self.bound]
        return [self.spec.name, canonical_json({k: v for k, v in json.loads(self.bound).items() if k not in unkeyed})]


def available() -> dict[str, Path]:
    """Shipped suites by name."""
    return {p.stem: p for p in sorted(shipped("suites").glob("*.toml"))}


def find(ref: str) -> Path:
    """Path of a suite given by name or path.

    Raises
    ------
    UsageError
        If there is none.
    """
    path = Path(ref)
    if path.is_file():
        return path
    if path.is_dir():
        raise UsageError(f"{ref} is a folder, not a suite", "name a TOML file in it, or a shipped suite")
    shipped_suites = available()
    if ref in shipped_suites:
        return shipped_suites[ref]
    if path.suffix == ".toml" or "/" in ref:
        raise UsageError(f"there is no suite file {ref}", f"shipped suites: {', '.join(shipped_suites)}")
    raise UsageError(f"unknown suite {ref!r}", did_you_mean(ref, shipped_suites))


def load(ref: str) -> Suite:
    """Read and validate a suite by name or path.

    Raises
    ------
    UsageError
        If the file is missing, is no TOML, or holds a wrong field, name or parameter.
    """
    path = find(ref)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    return parse({"name": path.stem, **document}, source=str(path), folder=path.resolve().parent)


def _load_parts(document: dict[str, Any], source: str, folder: Path | None) -> dict[str, Any]:
    """The document with the suites that its parts name, read.

    Raises
    ------
    UsageError
        If one is missing or wrong, or a part of itself.
    """
    named = document.get("parts", [])
    if not isinstance(named, list) or not all(isinstance(n, (str, dict, Suite)) for n in named):
        raise UsageError(f"{source}: parts must be a list of suites' names or paths")
    above = (*_loading.get(), Path(source).resolve())
    parts: list[Suite] = []
    token = _loading.set(above)
    try:
        for name in named:
            if not isinstance(name, str):
                parts.append(name if isinstance(name, Suite) else parse(name, source=source, folder=folder))
                continue
            beside = None if folder is None else folder / name
            path = beside if beside is not None and beside.is_file() else find(name)
            if path.resolve() in above:
                raise UsageError(f"{source}: suite {path.stem!r} is a part of itself")
            parts.append(load(str(path)))
    finally:
        _loading.reset(token)
    return {**document, "parts": parts}


_loading: ContextVar[tuple[Any, ...]] = ContextVar("loading", default=())


def parse(document: dict[str, Any], *, source: str = "suite", folder: Path | None = None) -> Suite:
    """Validate a suite given as a dictionary; see `load`."""
    if "parts" in document:
        document = _load_parts(document, source, folder)
    try:
        suite = Suite.model_validate({**document, "folder": folder})
    except pydantic.ValidationError as error:
        raise UsageError(*_first_problem(error, source)) from error
    owners: dict[tuple[Kind, str], Choice] = {}
    for group in components_of(suite):
        for choice in group:
            first = owners.setdefault((choice.kind, choice.spec.name), choice)
            if first.spec.function is not choice.spec.function:
                raise UsageError(
                    f"{source}: {first.ref} and {choice.ref} are both called {choice.spec.name!r}",
                    f"decorate one of them with @xaibench.{choice.kind}(...), under a name of its own",
                )
    for matrix in suite.matrices():
        _check_company(matrix, source)
    _check_claims(suite, source)
    return suite


def _check_company(suite: Suite, source: str) -> None:
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


EXPLAINING: tuple[Kind, ...] = ("explainer", "interpreter")
"""Kinds of components that stand in the column of explainers."""
_COLUMN = {"functions": "dataset", "interpreter": "explainer"}


def _check_claims(suite: Suite, source: str) -> None:
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


def components_of(suite: Suite) -> Iterator[Iterator[Choice]]:
    """Choices of every entry in the suite, group by group; resolving them checks them."""
    for part in suite.parts:
        yield from components_of(part)
    for problem in suite.problems:
        if isinstance(problem, FunctionsEntry):
            yield problem.functions.choices("functions", suite.folder)
            continue
        yield problem.dataset.choices("dataset", suite.folder)
        for model in problem.models:
            yield model.choices("model", suite.folder)
    for explainer in suite.explainers:
        yield explainer.choices("explainer", suite.folder)
    for interpreter in suite.interpreters:
        yield interpreter.choices("interpreter", suite.folder)
    for metric in suite.metrics:
        yield metric.choices("metric", suite.folder)


_IN_OTHER_WORDS = {
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "model_type": "must be a name, or a table with a name",
    "model_attributes_type": "must be a name, or a table with a name",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "string_type": "must be text",
}


def _first_problem(error: pydantic.ValidationError, source: str) -> tuple[str, str | None]:
    """One sentence and a hint for the first thing that is wrong."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in _place(first["loc"]))
    if first["type"] == "extra_forbidden":
        fields = _fields_at(first["loc"])
        name = str(first["loc"][-1])
        hint = did_you_mean(name, fields)
        if "params" in fields and not difflib.get_close_matches(name, fields, n=1, cutoff=0.75):
            hint = f"parameters go into params, for example params = {{ {name} = ... }}"
        return f"{source}: unknown field {where!r}", hint
    if first["type"] == "missing":
        return f"{source}: {where!r} is missing", None
    more = len(error.errors()) - 1
    said = _IN_OTHER_WORDS.get(first["type"], first["msg"].removeprefix("Input ").removeprefix("Value error, "))
    return f"{source}: {where}: {said}" if where else f"{source}: {said}", f"and {more} more" if more else None


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where something is in the file: the tag of a problem's kind, which follows its number, is no part of it."""
    return (*loc[:2], *loc[3:]) if loc[:1] == ("problems",) else loc


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that a wrong field stands in."""
    parts: dict[str, type[BaseModel]] = {
        "problems": ProblemEntry,
        "explainers": Entry,
        "interpreters": Entry,
        "functions": Entry,
        "metrics": MetricEntry,
        "include": Rule,
        "exclude": Rule,
        "models": Entry,
        "dataset": Entry,
        "claims": Claim,
        "left": Scores,
        "right": Scores,
        "reference": Scores,
    }
    owner: type[BaseModel] = Suite
    if loc[:1] == ("problems",) and len(loc) > 2:
        parts["problems"] = FunctionsEntry if loc[2] == "functions" else ProblemEntry
    for part in _place(loc)[:-1]:
        owner = parts.get(str(part), owner)
    return [name for name in owner.model_fields if name != "folder"]
