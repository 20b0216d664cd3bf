"""From names to problems: load the data, fit or find the model, select samples, measure the gates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from xaibench.core.components import DatasetSpec, FunctionsSpec, ModelSpec, source_digest
from xaibench.core.data import Array, Data
from xaibench.core.errors import DataError
from xaibench.core.features import infer_layout
from xaibench.core.findings import KeptFindings
from xaibench.core.gates import Findings, measure_gates
from xaibench.core.keys import KEY_VERSION, digest, row_digests
from xaibench.core.outputs import default_output
from xaibench.core.pairs import Pair
from xaibench.core.predictor import Predictor
from xaibench.core.problem import Problem, Samples, Truth, TruthKind
from xaibench.core.programs.black_box import BlackBox
from xaibench.core.programs.evaluation import FunctionProblem
from xaibench.core.programs.interpreting import plain
from xaibench.core.retraining import Retraining
from xaibench.models.adapters import as_predictor
from xaibench.models.linear import truth_weights
from xaibench.models.obtain import FittedModel, lookup, obtain
from xaibench.models.retraining import RecipeRetraining, check_features
from xaibench.suite import Choice

Progress = Callable[[int, int, str], None]
_ALWAYS = frozenset({"background", "reexplain", "retrain", "labels"})


@dataclass(frozen=True)
class ProblemSpec:
    """What a problem is made of, as plain data.

    Attributes
    ----------
    dataset, model : Choice
    seed : int
        Fixes data and training.
    samples : int
        Number of test samples, at most.
    target : {"predicted", "label"}
    background : int
        Number of reference samples from the training split, at most.
    output : str or None
        The output that is explained; None: what the model returns.
    """

    dataset: Choice
    model: Choice
    seed: int
    samples: int
    target: str
    background: int
    output: str | None = None

    @property
    def name(self) -> str:
        return f"{self.dataset.label}/{self.model.label}"

    @property
    def selection(self) -> str:
        """Which samples, what is explained of them, and against which background."""
        return f"test[:{self.samples}] {self.target} {self.output or 'default'} train[:{self.background}]"

    @cached_property
    def identity(self) -> list[Any]:
        """Names and parameters, without versions."""
        return [self.dataset.identity, self.model.identity, self.seed, self.selection]

    @cached_property
    def key(self) -> str:
        """Digest of the identity: equal for equal problems."""
        return digest(self.identity)

    @property
    def versions(self) -> dict[str, int]:
        return {"dataset": self.dataset.spec.version, "model": self.model.spec.version}

    @property
    def labels(self) -> tuple[str, str]:
        """Data set and model as the leaderboard shows them."""
        return self.dataset.label, self.model.label

    @property
    def names(self) -> tuple[str, str]:
        """Data set and model without parameters."""
        return self.dataset.spec.name, self.model.spec.name

    def capabilities(self) -> frozenset[str] | None:
        """Needs that the problem will meet by what its parts declare; None if only building tells."""
        dataset, model = cast(DatasetSpec, self.dataset.spec), cast(ModelSpec, self.model.spec)
        if model.provides is None:
            return None
        return _capabilities(dataset, model.provides, self.output)

    def check(self) -> None:
        """Raise UsageError if the model does not take this kind of data."""
        dataset = cast(DatasetSpec, self.dataset.spec)
        check_features(cast(ModelSpec, self.model.spec), dataset.features, dataset.name)


FUNCTIONS = "functions"
"""What stands for the model where the problem is a set of functions."""


@dataclass(frozen=True)
class FunctionProblemSpec:
    """What a problem of functions is made of, as plain data.

    Attributes
    ----------
    functions : Choice
    seed : int
        Fixes the functions.
    samples : int or None
        Number of functions, at most; None: all of the set.
    budget : int
        Questions that may be asked of each.
    """

    functions: Choice
    seed: int
    samples: int | None
    budget: int

    @property
    def name(self) -> str:
        return f"{self.functions.label}/{FUNCTIONS}"

    @property
    def selection(self) -> str:
        """Which functions, and how many questions to each."""
        return f"functions[:{'' if self.samples is None else self.samples}] budget {self.budget}"

    @cached_property
    def identity(self) -> list[Any]:
        """Names and parameters, without versions."""
        return [self.functions.identity, FUNCTIONS, self.seed, self.selection]

    @cached_property
    def key(self) -> str:
        """Digest of the identity: equal for equal problems."""
        return digest(self.identity)

    @property
    def versions(self) -> dict[str, int]:
        return {"functions": self.functions.spec.version}

    @property
    def labels(self) -> tuple[str, str]:
        """What stands in the columns for data set and model."""
        return self.functions.label, FUNCTIONS

    @property
    def names(self) -> tuple[str, str]:
        """The same without parameters."""
        return self.functions.spec.name, FUNCTIONS

    def capabilities(self) -> frozenset[str]:
        """Needs that the functions meet."""
        return cast(FunctionsSpec, self.functions.spec).provides


AnyProblemSpec = ProblemSpec | FunctionProblemSpec


def _capabilities(dataset: DatasetSpec, provides: frozenset[str], output: str | None) -> frozenset[str]:
    kind = "text" if dataset.features == "tokens" else dataset.features
    # A linear model's weights are the slopes of its logits, and of nothing else.
    offered = provides if output in (None, "logit") else provides - {"truth.weights"}
    return _ALWAYS | {kind} | dataset.provides | offered


class Problems:
    """Materialises problems, keeping what the next one is likely to share.

    Parameters
    ----------
    cache : Path or None
        Folder for fitted models; None keeps nothing.
    device : str
    batch_size : int, optional
        Instead of the deterministic rule.
    """

    def __init__(self, cache: Path | None, *, device: str = "cpu", batch_size: int | None = None) -> None:
        self.cache = cache
        self.device = device
        self.batch_size = batch_size
        self._data: dict[str, Data] = {}
        self._functions: dict[str, tuple[BlackBox, ...]] = {}

    def data(self, spec: ProblemSpec) -> Data:
        """The data set of a problem; only the latest one is kept in memory."""
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
        """A set of functions as a problem; only the latest set is kept in memory."""
        key = digest(spec.functions.identity, spec.seed)
        if key not in self._functions:
            self._functions = {key: _built(spec)}
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

    def _findings(self, spec: ProblemSpec, data: Data, fitted: FittedModel) -> KeptFindings:
        """Where findings about this model are kept; nowhere if a recipe without a version made it."""
        model = spec.model.spec
        if self.cache is None or not model.registered:
            return KeptFindings()
        recipe = digest(KEY_VERSION, data.fingerprint, fitted.fingerprint, spec.model.identity, model.version)
        return KeptFindings(self.cache / "findings", (recipe,))


def _built(spec: FunctionProblemSpec) -> tuple[BlackBox, ...]:
    """The functions of a set, checked.

    Raises
    ------
    DataError
        If these are no functions of the declared kind, or two have one name.
    """
    component = cast(FunctionsSpec, spec.functions.spec)
    seed = {"seed": spec.seed} if component.takes("seed") else {}
    functions = tuple(component.function(**spec.functions.params, **seed))
    for function in functions:
        if not isinstance(function, BlackBox) or function.kind != component.functions:
            got = f"{function.kind} functions" if isinstance(function, BlackBox) else type(function).__name__
            raise DataError(f"functions {component.name!r} returned {got}", f"return {component.functions} BlackBoxes")
    twice = [name for name, count in Counter(f.name for f in functions).items() if count > 1]
    if twice or not functions:
        what = f"two functions called {twice[0]!r}" if twice else "no functions"
        raise DataError(f"functions {component.name!r} returned {what}", "give every function a name of its own")
    return functions


def _fingerprint_of(spec: FunctionProblemSpec, functions: tuple[BlackBox, ...]) -> str:
    """Content of a set: what is said of its functions, its version (its source without one), and the budget."""
    component = spec.functions.spec
    source = None if component.registered else source_digest(component)
    said = [
        [f.name, f.kind, f.family, plain(f.parameters), f.description, f.intervals, f.landmarks, f.noise]
        for f in functions
    ]
    domains = [[f.domain.low, f.domain.high, f.domain.words, plain(f.test_inputs)] for f in functions]
    return digest(
        KEY_VERSION,
        spec.functions.identity,
        component.version,
        source,
        spec.seed,
        spec.selection,
        said,
        digest(domains),
    )


def assemble(
    spec: ProblemSpec,
    data: Data,
    fitted: FittedModel,
    predictor: Predictor,
    retraining: Retraining,
    findings: KeptFindings,
) -> Problem:
    """Put a problem together from its data and its fitted model."""
    layout = infer_layout(data.input_shape, data.features)
    n = min(spec.samples, len(data.test_inputs))
    inputs = torch.from_numpy(data.test_inputs[:n]).to(predictor.device)
    if spec.target == "predicted":
        targets = predictor.predict(inputs).argmax(dim=1)
    else:
        targets = torch.from_numpy(data.test_targets[:n]).to(predictor.device)
    reference, reference_labels = _background(data, spec.background)
    output = spec.output or default_output(predictor.returns)
    raw_rows = data.test_inputs if data.test_rows is None else data.test_rows
    capabilities = _capabilities(cast(DatasetSpec, spec.dataset.spec), fitted.provides, spec.output)
    mask, distractors = (
        None if a is None else torch.from_numpy(a[:n]).to(predictor.device)
        for a in (data.test_mask, data.test_distractors)
    )
    weights = None
    if "truth.weights" in capabilities and predictor.module is not None:
        weights = truth_weights(predictor.module, inputs, targets, layout)
    truth = None
    kind = cast(TruthKind, data.truth_kind)
    if mask is not None or weights is not None or distractors is not None:
        about_weights_only = mask is None and distractors is None
        truth = Truth("model" if about_weights_only else kind, mask, weights, distractors)
    found = measure_gates(data, predictor, fitted.accuracy, findings.measure)
    return Problem(
        dataset=spec.dataset.label,
        model=spec.model.label,
        samples=Samples(
            predictor,
            inputs,
            targets,
            layout,
            output,
            row_digests(raw_rows[:n]),
            torch.from_numpy(reference).to(predictor.device),
            labels=torch.from_numpy(data.test_targets[:n]).to(predictor.device),
            background_labels=None if reference_labels is None else torch.from_numpy(reference_labels),
        ),
        fingerprint=_fingerprint(spec, data, fitted.fingerprint),
        capabilities=capabilities,
        truth=truth,
        gates=found.gates,
        retraining=retraining,
        pairs=_pairs(data, found, retraining, spec.seed, n, predictor.device),
    )


def _background(data: Data, size: int) -> tuple[Array, Array | None]:
    """At most ``size`` reference rows, evenly spaced, and their labels where they are known."""
    rows, labels = data.background, data.background_targets
    if rows is None:
        rows, labels = data.train_inputs, data.train_targets
    chosen = np.unique(np.linspace(0, len(rows) - 1, size).astype(int))
    return rows[chosen], None if labels is None else labels[chosen]


def _pairs(
    data: Data, found: Findings, retraining: Retraining, seed: int, n: int, device: torch.device
) -> dict[str, tuple[Pair, ...]]:
    """The selected samples seen otherwise, by the need that this meets."""
    pairs: dict[str, tuple[Pair, ...]] = {}

    def selected(rows: Array | None) -> torch.Tensor | None:
        return None if rows is None else torch.from_numpy(rows[:n]).to(device)

    for source in data.pairs:
        other = None if source.data is None else partial(_fitted_to, source.data, retraining, seed)
        truth = selected(source.truth)
        about = None
        if truth is not None:
            kind = cast(TruthKind, data.truth_kind)
            about = Truth(kind, mask=truth) if truth.dtype == torch.bool else Truth(kind, weights=truth)
        pair = Pair(other, selected(source.inputs), selected(source.labels), source.level, about)
        pairs[source.need] = (*pairs.get(source.need, ()), pair)
    for need, rows in found.inputs.items():
        pairs[need] = (Pair(inputs=selected(rows)),)
    return pairs


def _fitted_to(load: Callable[[], Data], retraining: Retraining, seed: int) -> Predictor:
    return retraining.fit(load(), seed)


def _fingerprint(spec: ProblemSpec, data: Data, weights: str) -> str:
    """Content of a problem: data, weights, sample selection, and which recipe made the model.

    Equal weights can belong to different models (another activation, a changed forward pass), so
    the recipe's name, parameters and version are part of it; where there is no version, its source.
    """
    model = spec.model.spec
    recipe = [spec.model.identity, model.version, None if model.registered else source_digest(model)]
    return digest(KEY_VERSION, data.fingerprint, weights, recipe, spec.selection)
