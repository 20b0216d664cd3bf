"""A suite expanded to units, as a stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import cast

from xaibench.core import registry
from xaibench.core.components import RANDOM, MetricSpec
from xaibench.core.errors import UsageError
from xaibench.core.known_names import without_aliases
from xaibench.core.needs import DATA_NEEDS, missing_needs
from xaibench.core.program_specs import FunctionsSpec, is_control
from xaibench.plan.cells import Unit
from xaibench.problems.specs import AnyProblemSpec, FunctionProblemSpec, ProblemSpec
from xaibench.suite import EXPLAINING, ComponentRef, FunctionsEntry, Suite

Metrics = tuple[tuple[ComponentRef, str | None], ...]


@dataclass(frozen=True)
class Selection:
    """Which part of a suite to run.

    A pattern with a slash is matched with ``dataset/model/explainer/metric`` from the left, one
    without with each of the four names. Names count as the plan shows them, with the parameters that
    the suite gives (``suppressor(c=0.4)``), and without them. Controls come along with the
    explainers that ``only`` selects, because nothing else tells an explanation from a meaningless map;
    ``skip`` leaves them out.
    """

    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("only", "skip"):
            object.__setattr__(self, name, tuple(map(without_aliases, getattr(self, name))))

    def has(self, labels: tuple[str, str, str, str], beside: Iterable[str] = ()) -> bool:
        """Whether the cell of these four labels is selected, for itself or because an explainer ``beside`` it is."""
        named = (labels, *((*labels[:2], other, labels[3]) for other in beside))
        wanted = not self.only or any(cell_matches(p, one) for p in self.only for one in named)
        return wanted and not any(cell_matches(p, labels) for p in self.skip)


def cell_matches(pattern: str, labels: tuple[str, ...]) -> bool:
    """Whether a pattern of a selection is about the cell of these labels: data set, model, explainer and metric."""
    both = [dict.fromkeys((label, label.partition("(")[0])) for label in labels]
    if "/" not in pattern:
        return any(pattern == name or fnmatchcase(name, pattern) for names in both for name in names)
    paths = ("/".join(names) for names in itertools.product(*both))
    return any(fnmatchcase(path, glob) for path in paths for glob in (pattern, f"{pattern.rstrip('/')}/*"))


def expand(suite: Suite, selection: Selection | None = None) -> Iterator[Unit]:
    """Units of a suite: problem by problem, seed by seed, explainers in the order of the file, then controls.

    Neighbours share what they can: the problem, and the evaluations that depend on the seed only.
    What several parts say about a problem comes one after the other; a cell that several of them
    name is there once.
    """
    chosen = selection or Selection()
    named: dict[str, dict[int, tuple[_Matrix, AnyProblemSpec]]] = {}
    for number, part in enumerate(suite.matrices()):
        matrix = _Matrix(part, chosen)
        for problem in problems(part, chosen):
            named.setdefault(problem.key, {})[number] = (matrix, problem)
    for found in named.values():
        seen: set[str] = set()
        for matrix, problem in found.values():
            for unit in matrix.units(problem):
                if len(found) == 1:
                    yield unit
                    continue
                fresh = tuple(m for m, c in zip(unit.metrics, unit.cells, strict=True) if c.cell_id not in seen)
                seen.update(c.cell_id for c in unit.cells)
                if fresh:
                    yield unit if len(fresh) == len(unit.metrics) else replace(unit, metrics=fresh)


def shown_names(suite: Suite) -> set[str]:
    """Names of data sets, models, explainers and metrics that a selection can match."""
    names: set[str] = set()
    for part in suite.matrices():
        matrix = _Matrix(part, Selection())
        names.update(label for _, label in matrix.explainers)
        names.update(label for _, _, label in matrix.metrics)
        for problem in problems(part, Selection()):
            names.update(problem.labels)
    return names | {name.partition("(")[0] for name in names}


class _Matrix:
    """The metrics and explainers of a suite, and what its rules and the selection leave of them."""

    def __init__(self, suite: Suite, chosen: Selection, masker: str | None = None) -> None:
        self.suite = suite
        self.chosen = chosen
        self.masker = masker
        choices = (
            (c.with_default_masker(masker), m.output) for m in suite.metrics for c in m.choices("metric", suite.folder)
        )
        self.metrics = [(choice, output, choice.label) for choice, output in dict.fromkeys(choices)]
        named = (choice.with_default_masker(masker) for choice in _explaining(suite))
        self.explainers = [(choice, choice.label) for choice in dict.fromkeys(named)]
        self.ranked = [label for choice, label in self.explainers if not is_control(choice.spec)]
        self._selected: dict[tuple[str, str, str], tuple[Metrics, Metrics]] = {}
        self._of_maskers: dict[str, _Matrix] = {}

    def _with(self, masker: str) -> _Matrix:
        """The same matrix with this masker in the place of defaults that the data have no use for."""
        if masker not in self._of_maskers:
            self._of_maskers[masker] = _Matrix(self.suite, self.chosen, masker)
        return self._of_maskers[masker]

    def units(self, problem: AnyProblemSpec) -> Iterator[Unit]:
        """Units of one problem."""
        masker = problem.default_masker if isinstance(problem, ProblemSpec) else None
        if masker is not None and masker != self.masker:
            yield from self._with(masker).units(problem)
            return
        capabilities = problem.capabilities()
        with_oracle = capabilities is None or any(c.partition(".")[0] == "truth" for c in capabilities)
        belonging = [(choice, label) for choice, label in self.explainers if _belongs(choice, problem)]
        for seed in self.suite.seeds:
            for explainer, label in belonging:
                metrics, skilled = self._metrics(problem, label, control=is_control(explainer.spec))
                # Skill needs the mean over many random maps, and makes sense only where there is an oracle.
                several = explainer.spec.name == RANDOM and with_oracle
                for repeat in range(self.suite.random_draws if several else 1):
                    scored = skilled if repeat else metrics
                    if scored:
                        yield Unit(problem, explainer, seed, repeat, scored)

    def _metrics(self, problem: AnyProblemSpec, explainer: str, *, control: bool) -> tuple[Metrics, Metrics]:
        """The metrics that are left for an explainer here, and those of them that skill is computed for."""
        ranked = self.ranked if control else ()
        path = (*problem.labels, explainer)
        if path not in self._selected:
            selected = tuple(
                (metric, output)
                for metric, output, label in self.metrics
                if _belongs(metric, problem)
                and self.suite.selects(*path, label)
                and self.chosen.has((*path, label), ranked)
            )
            self._selected[path] = selected, tuple(m for m in selected if cast(MetricSpec, m[0].spec).skill_valid)
        return self._selected[path]


def _explaining(suite: Suite) -> Iterator[ComponentRef]:
    """Explainers and interpreters in the order of the file, then the controls that it does not name."""
    entries = {"explainer": suite.explainers, "interpreter": suite.interpreters}
    for kind in EXPLAINING:
        named = [c for entry in entries[kind] for c in entry.choices(kind, suite.folder)]
        yield from named
        names = {c.spec.name for c in named}
        for spec in registry.components(kind) if suite.controls else ():
            if is_control(spec) and spec.name not in names:
                yield ComponentRef.of(kind, spec.name, {})


def _belongs(choice: ComponentRef, problem: AnyProblemSpec) -> bool:
    """Whether a component is about problems of this sort: functions of a kind that it takes, or models and data.

    Controls of one kind of data, such as texts, belong to problems of that kind only.
    """
    if isinstance(problem, FunctionProblemSpec):
        return choice.spec.about_programs and not missing_needs(choice.spec.needs, problem.capabilities())
    if is_control(choice.spec) and missing_needs(choice.spec.needs & DATA_NEEDS, {problem.kind_of_data}):
        return False
    return not choice.spec.about_programs


def problems(suite: Suite, selection: Selection) -> Iterator[AnyProblemSpec]:
    """Problems of a suite, data sets outermost, so that data and models are shared by neighbours."""
    for entry in suite.problems:
        if isinstance(entry, FunctionsEntry):
            yield from _function_problems(suite, entry, selection)
            continue
        samples = entry.samples or suite.samples
        if selection.limit is not None:
            samples = min(samples, selection.limit)
        for dataset in entry.dataset.choices("dataset", suite.folder):
            for seed in suite.problem_seeds:
                for named in entry.models:
                    for model in named.choices("model", suite.folder):
                        problem = ProblemSpec(
                            dataset,
                            model,
                            seed,
                            samples,
                            entry.target or suite.target,
                            suite.background,
                            named.output or entry.output,
                            named.returns,
                            named.batch_size,
                        )
                        problem.check()
                        yield problem


def _function_problems(suite: Suite, entry: FunctionsEntry, selection: Selection) -> Iterator[FunctionProblemSpec]:
    limits = [n for n in (entry.samples, selection.limit) if n is not None]
    for functions in entry.functions.choices("functions", suite.folder):
        for seed in suite.problem_seeds:
            yield FunctionProblemSpec(functions, seed, min(limits, default=None), _budget(functions, entry, suite))


def _budget(functions: ComponentRef, entry: FunctionsEntry, suite: Suite) -> int:
    """Questions that may be asked of each function; 0 for cases.

    Raises
    ------
    UsageError
        If the suite gives a set of cases a budget.
    """
    spec = cast(FunctionsSpec, functions.spec)
    if not spec.holds_cases:
        return entry.budget or suite.budget
    if entry.budget is not None:
        raise UsageError(
            f"{spec.name} has no budget: the runs of an explainer on {spec.noun} are counted, and not limited",
            "remove budget from this problem",
        )
    return 0
