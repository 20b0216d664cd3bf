"""Suites: the matrix of problems, explainers and metrics, and the claims about its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field

from xaibench.core.components import Kind
from xaibench.suite.claims import Claim
from xaibench.suite.problems import AnyProblem, FunctionsEntry, TargetForm
from xaibench.suite.references import ComponentRef, Entries, ExplainerGlobs, Globs, MetricEntries, Table
from xaibench.suite.regression_settings import Comparing

Seed = Annotated[int, Field(ge=0, lt=2**31)]
EXPLAINING: tuple[Kind, ...] = ("explainer", "interpreter")
"""Kinds of components that stand in the column of explainers."""


class CellPattern(Table):
    """Matches cells whose names match every given list of globs.

    Names are compared as the leaderboard shows them, with the parameters that the suite gives
    (``lime(width=0.5)``), and without them.

    Attributes
    ----------
    dataset, model, explainer, metric : globs
        All of them must match; what is left out matches everything.
    """

    dataset: Globs = Field(default=["*"])
    model: Globs = Field(default=["*"])
    explainer: ExplainerGlobs = Field(default=["*"])
    metric: Globs = Field(default=["*"])

    def matches(self, dataset: str, model: str, explainer: str, metric: str) -> bool:
        pairs = ((dataset, self.dataset), (model, self.model), (explainer, self.explainer), (metric, self.metric))
        both = (((name, name.partition("(")[0]), globs) for name, globs in pairs)
        return all(any(fnmatchcase(name, glob) for name in names for glob in globs) for names, globs in both)


class Suite(Table):
    """A matrix of problems, explainers, metrics and seeds, and the claims that it tests.

    Problems of functions go with interpreters and with metrics that need ``program``, problems of
    data sets with explainers and all other metrics, so that one suite may hold both.

    Attributes
    ----------
    name : str
        Shown with the results. Default: the name of the file.
    description : str
        One sentence, for `xaibench list suites`.
    samples : int
        Test samples per problem at most, the first ones of the (shuffled) test split; all where there are fewer.
    target : str
        What is explained of a sample: the class that is ``predicted``, its ``label``, one class, label or output for
        all samples (``label:NAME``, or its number), ``each`` of the labels that are true of it, one class against
        another (``contrast:A-B``), or the predicted class against the second most likely one (``runner_up``).
    background : int
        Training samples that serve as reference.
    budget : int
        Questions that interpreters may ask of each function.
    seeds : list of int
        Seeds of explaining and scoring.
    problem_seeds : list of int
        Seeds of the data and of the training.
    controls : bool
        Put every control into the matrix.
    random_draws : int
        Draws of the random control where skill needs them.
    problems : list
        Data sets with models, or sets of functions.
    explainers, interpreters, metrics : list
        Names, or tables with parameters.
    include : list of CellPattern
        Where there is any, only what matches one of these rules is selected.
    exclude : list of CellPattern
        What matches one of these rules is not selected.
    claims : list of Claim
        Published statements that the results test; see `xaibench claims`.
    compare : Comparing
        What counts as a regression, for `xaibench compare`.
    parts : list of Suite
        Suites (in the file: names or paths) whose matrices and claims belong to this one.
    """

    name: str = Field(min_length=1)
    description: str = ""
    samples: int = Field(default=64, ge=1)
    target: TargetForm = "predicted"
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
    include: list[CellPattern] = Field(default_factory=list)
    exclude: list[CellPattern] = Field(default_factory=list)
    claims: list[Claim] = Field(default_factory=list)
    compare: Comparing = Field(default_factory=Comparing)
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
        """Whether the include and exclude rules select this cell."""
        names = (dataset, model, explainer, metric)
        included = not self.include or any(rule.matches(*names) for rule in self.include)
        return included and not any(rule.matches(*names) for rule in self.exclude)


def components_of(suite: Suite) -> Iterator[Iterator[ComponentRef]]:
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
