"""Preparing problems: load the data, fit the model or load it, select samples, measure the gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import cast

from xaibench.core.cases.case import Case
from xaibench.core.cases.content import case_digest
from xaibench.core.components import Component
from xaibench.core.data import Data
from xaibench.core.data_specs import DatasetSpec
from xaibench.core.errors import DataError, StoreError, XaibenchError
from xaibench.core.findings import CachedFindings
from xaibench.core.keys import KEY_VERSION, digest
from xaibench.core.problem import Problem
from xaibench.core.program_specs import FunctionsSpec
from xaibench.core.programs.black_box import BlackBox
from xaibench.core.programs.evaluation import AnyCase, FunctionProblem
from xaibench.core.programs.interpreting import to_jsonable
from xaibench.core.user_errors import TRACEBACK_HINT, described
from xaibench.models.first_look import look_at_data
from xaibench.models.obtain import FittedModel, cached_file, lookup, obtain
from xaibench.models.retraining import RecipeRetraining
from xaibench.models.text_adapters import predictor_for
from xaibench.models.training import Progress
from xaibench.problems.assembly import _fingerprint, assemble
from xaibench.problems.fingerprints import remember, remember_absent
from xaibench.problems.specs import AnyProblemSpec, FunctionProblemSpec, ProblemSpec


@contextmanager
def about_data_set(component: Component) -> Iterator[None]:
    """Let errors of a user's data set name it, and be errors of data, with file and line, whatever was raised."""
    try:
        yield
    except XaibenchError as error:
        raise type(error)(f"data set {component.name!r}: {error.message}", error.hint) from error
    except (Exception, SystemExit) as error:
        if component.code_digest is None:
            raise
        raise DataError(f"data set {component.name!r} failed: {described(error)}", TRACEBACK_HINT) from error


@contextmanager
def about_missing_values(spec: ProblemSpec, data: Data) -> Iterator[None]:
    """Let a model that cannot be fitted to data with missing values say so, with data set, column and row."""
    place = data.first_missing
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        if place is None:
            raise
        raise DataError(
            f"data set {spec.dataset.spec.name!r} has missing values ({place} is NaN), which model "
            f"{spec.model.spec.name!r} does not take: {described(error)}",
            "impute them, or use a model that takes them",
        ) from error


class Problems:
    """Materialises problems, and caches what the next one is likely to share.

    Parameters
    ----------
    cache : Path or None
        Folder for fitted models; None stores nothing.
    device : str
    batch_size : int, optional
        Instead of the deterministic rule.
    """

    def __init__(self, cache: Path | None, *, device: str = "cpu", batch_size: int | None = None) -> None:
        self.cache = cache
        self.device = device
        self.batch_size = batch_size
        self._data: dict[str, Data] = {}
        self._functions: dict[str, tuple[AnyCase, ...]] = {}

    def data(self, spec: ProblemSpec) -> Data:
        """The data set of a problem; only the latest one stays in memory."""
        key = digest(spec.dataset.identity, spec.seed, spec.dataset.spec.code_digest)
        if key not in self._data:
            component = spec.dataset.spec
            special = {"seed": spec.seed, "suite_folder": spec.dataset.folder}
            given = {name: value for name, value in special.items() if component.takes(name)}
            with about_data_set(component):
                data = component.function(**spec.dataset.params, **given)
            if not isinstance(data, Data):
                raise DataError(f"dataset {component.name!r} returned {type(data).__name__}", "return a xaibench.Data")
            if data.features != cast(DatasetSpec, component).features:
                raise DataError(
                    f"dataset {component.name!r} is declared as {cast(DatasetSpec, component).features!r} "
                    f"and returned data of features {data.features!r}",
                    "say the same in @xb.dataset(features=...) and xb.Data(features=...)",
                )
            self._data = {key: data}
        return self._data[key]

    def functions(self, spec: FunctionProblemSpec) -> FunctionProblem:
        """A set of functions as a problem; only the latest set stays in memory."""
        key = digest(spec.functions.identity, spec.seed, spec.functions.spec.code_digest)
        if key not in self._functions:
            self._functions = {key: _built(spec, self.cache)}
        functions = self._functions[key][: spec.samples]
        return FunctionProblem(
            spec.name, functions, spec.budget, spec.seed, _fingerprint_of(spec, functions), spec.capabilities()
        )

    def fingerprint(self, spec: AnyProblemSpec) -> str | None:
        """Content fingerprint if the model is in the cache, else None: nothing is trained.

        None for functions that cannot be made, too: the run says why.
        """
        if isinstance(spec, FunctionProblemSpec):
            try:
                return self.functions(spec).fingerprint
            except Exception:
                return None
        model = spec.recipe
        if self.cache is None or model.provides is None:
            return None
        data = self.data(spec)
        found = lookup(model, spec.model.params, data, seed=spec.seed, cache=self.cache)
        if found is None:
            remember_absent(self.cache, spec)
            return None
        known = _fingerprint(spec, data, found.fingerprint)
        self._remember(spec, data, known)
        return known

    def _remember(self, spec: ProblemSpec, data: Data, fingerprint: str) -> None:
        """Let the next plan know the fingerprint without loading the data, where the model is in the cache."""
        model = spec.recipe
        if self.cache is None or model.provides is None:
            return
        file = cached_file(model, spec.model.params, data, seed=spec.seed, cache=self.cache)
        if file is not None:
            remember(self.cache, spec, fingerprint, file)

    def prepare(self, spec: ProblemSpec, progress: Progress | None = None) -> Problem:
        """Load, fit, select and measure. Deterministic for a given seed and machine type."""
        data = self.data(spec)
        model = spec.recipe
        with about_missing_values(spec, data):
            fitted = obtain(
                model, spec.model.params, data, seed=spec.seed, device=self.device, cache=self.cache, progress=progress
            )
        batch_size = self.batch_size or spec.batch_size
        given = "value" if fitted.returns == "value" else model.returns
        predictor = predictor_for(fitted.model, data, returns=given, device=self.device, batch_size=batch_size)
        predictor = look_at_data(predictor, data, given=given)
        retraining = RecipeRetraining(
            data,
            model,
            spec.model.params,
            fingerprint=fitted.fingerprint,
            cache=self.cache,
            device=self.device,
            batch_size=batch_size,
        )
        problem = assemble(spec, data, fitted, predictor, retraining, self._findings(spec, data, fitted))
        self._remember(spec, data, problem.fingerprint)
        return problem

    def _findings(self, spec: ProblemSpec, data: Data, fitted: FittedModel) -> CachedFindings:
        """Where findings about this model are cached; nowhere if a recipe without a version made it."""
        model = spec.model.spec
        if self.cache is None or not model.registered:
            return CachedFindings()
        written = [source for source in (model.code_digest, spec.dataset.spec.code_digest) if source]
        recipe = digest(KEY_VERSION, data.fingerprint, fitted.fingerprint, spec.model.identity, model.version, *written)
        return CachedFindings(self.cache / "findings", (recipe,))


def _built(spec: FunctionProblemSpec, cache: Path | None) -> tuple[AnyCase, ...]:
    """The functions or cases of a set, checked.

    Raises
    ------
    DataError
        If these are not functions or cases of the declared kind, or two have one name.
    """
    component = cast(FunctionsSpec, spec.functions.spec)
    special = {"seed": spec.seed, "cache": cache}
    given = {name: value for name, value in special.items() if component.takes(name)}
    with about_data_set(component):
        functions = tuple(component.function(**spec.functions.params, **given))
    wanted = Case if component.holds_cases else BlackBox
    for function in functions:
        if not isinstance(function, wanted) or function.kind != component.functions:
            known = isinstance(function, (BlackBox, Case))
            got = f"{function.kind} {type(function).__name__}s" if known else type(function).__name__
            raise DataError(
                f"functions {component.name!r} returned {got}", f"return {component.functions} {wanted.__name__}s"
            )
    twice = [name for name, count in Counter(f.name for f in functions).items() if count > 1]
    if twice or not functions:
        what = f"two functions called {twice[0]!r}" if twice else "no functions"
        hint = "give every function a name of its own" if twice else None
        raise DataError(f"functions {component.name!r} returned {what}", hint)
    return functions


def _fingerprint_of(spec: FunctionProblemSpec, functions: tuple[AnyCase, ...]) -> str:
    """Content of a set: what is said of its functions, its version (its source without one), and the budget."""
    component = spec.functions.spec
    head = (
        KEY_VERSION, spec.functions.identity, component.version, component.code_digest, spec.seed, spec.selection,
    )  # fmt: skip
    cases = [case_digest(f) for f in functions if isinstance(f, Case)]
    if cases:
        return digest(*head, cases)
    boxes = [f for f in functions if isinstance(f, BlackBox)]
    said = [
        [f.name, f.kind, f.family, to_jsonable(f.parameters), f.description, f.intervals, f.landmarks, f.noise]
        for f in boxes
    ]
    domains = [[f.domain.low, f.domain.high, f.domain.words, to_jsonable(f.test_inputs)] for f in boxes]
    gates = [[asdict(gate) for gate in f.gates] for f in boxes]
    return digest(*head, said, digest(domains), *([gates] if any(gates) else []))
