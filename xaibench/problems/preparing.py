"""Preparing problems: load the data, fit the model or load it, select samples, measure the gates."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import cast

from xaibench.core.cases.case import Case
from xaibench.core.cases.content import case_digest
from xaibench.core.components import FunctionsSpec, ModelSpec, source_digest
from xaibench.core.data import Data
from xaibench.core.errors import DataError
from xaibench.core.findings import CachedFindings
from xaibench.core.keys import KEY_VERSION, digest
from xaibench.core.problem import Problem
from xaibench.core.programs.black_box import BlackBox
from xaibench.core.programs.evaluation import AnyCase, FunctionProblem
from xaibench.core.programs.interpreting import to_jsonable
from xaibench.models.adapters import as_predictor
from xaibench.models.obtain import FittedModel, lookup, obtain
from xaibench.models.retraining import RecipeRetraining
from xaibench.models.training import Progress
from xaibench.problems.assembly import _fingerprint, assemble
from xaibench.problems.specs import AnyProblemSpec, FunctionProblemSpec, ProblemSpec


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
        key = digest(spec.dataset.identity, spec.seed)
        if key not in self._data:
            component = spec.dataset.spec
            seed = {"seed": spec.seed} if component.takes("seed") else {}
            data = component.function(**spec.dataset.params, **seed)
            if not isinstance(data, Data):
                raise DataError(f"dataset {component.name!r} returned {type(data).__name__}", "return a xaibench.Data")
            self._data = {key: data}
        return self._data[key]

    def functions(self, spec: FunctionProblemSpec) -> FunctionProblem:
        """A set of functions as a problem; only the latest set stays in memory."""
        key = digest(spec.functions.identity, spec.seed)
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
        model = cast(ModelSpec, spec.model.spec)
        if self.cache is None or model.provides is None:
            return None
        data = self.data(spec)
        found = lookup(model, spec.model.params, data, seed=spec.seed, cache=self.cache)
        return None if found is None else _fingerprint(spec, data, found.fingerprint)

    def prepare(self, spec: ProblemSpec, progress: Progress | None = None) -> Problem:
        """Load, fit, select and measure. Deterministic for a given seed and machine type."""
        data = self.data(spec)
        model = cast(ModelSpec, spec.model.spec)
        fitted = obtain(
            model, spec.model.params, data, seed=spec.seed, device=self.device, cache=self.cache, progress=progress
        )
        predictor = as_predictor(fitted.model, returns=fitted.returns, device=self.device, batch_size=self.batch_size)
        retraining = RecipeRetraining(
            data,
            model,
            spec.model.params,
            fingerprint=fitted.fingerprint,
            cache=self.cache,
            device=self.device,
            batch_size=self.batch_size,
        )
        return assemble(spec, data, fitted, predictor, retraining, self._findings(spec, data, fitted))

    def _findings(self, spec: ProblemSpec, data: Data, fitted: FittedModel) -> CachedFindings:
        """Where findings about this model are cached; nowhere if a recipe without a version made it."""
        model = spec.model.spec
        if self.cache is None or not model.registered:
            return CachedFindings()
        recipe = digest(KEY_VERSION, data.fingerprint, fitted.fingerprint, spec.model.identity, model.version)
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
        raise DataError(f"functions {component.name!r} returned {what}", "give every function a name of its own")
    return functions


def _fingerprint_of(spec: FunctionProblemSpec, functions: tuple[AnyCase, ...]) -> str:
    """Content of a set: what is said of its functions, its version (its source without one), and the budget."""
    component = spec.functions.spec
    source = None if component.registered else source_digest(component)
    head = (KEY_VERSION, spec.functions.identity, component.version, source, spec.seed, spec.selection)
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
