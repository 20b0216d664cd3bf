"""Specifications of problems, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from xaibench.core.data_specs import DatasetSpec, ModelSpec, check_features
from xaibench.core.features import default_masker
from xaibench.core.keys import digest
from xaibench.core.needs import PAIRS, need_of_data
from xaibench.core.outputs import GivenReturns
from xaibench.core.program_specs import FunctionsSpec
from xaibench.core.targets import EACH
from xaibench.suite import ComponentRef

_ALWAYS = frozenset({"background", "reexplain", "retrain", "labels"})


@dataclass(frozen=True)
class ProblemSpec:
    """Specification of a problem, as plain data.

    Attributes
    ----------
    dataset, model : ComponentRef
    seed : int
        Fixes data and training.
    samples : int
        Number of test samples, at most.
    target : str
        What is explained of a sample; see `xaibench.core.targets.choose_targets`.
    background : int
        Number of reference samples from the training split, at most.
    output : str or None
        The output that is explained; None: what the model returns.
    returns : GivenReturns or None
        What the model's numbers are; None: what a first look at them says.
    batch_size : int or None
        Samples that are evaluated at once; None: by the rule. Not part of the identity.
    """

    dataset: ComponentRef
    model: ComponentRef
    seed: int
    samples: int
    target: str
    background: int
    output: str | None = None
    returns: GivenReturns | None = None
    batch_size: int | None = None

    @property
    def name(self) -> str:
        return f"{self.dataset.label}/{self.model.label}"

    @property
    def selection(self) -> str:
        """Which samples, what is explained of them, against which background, and what was said that it is."""
        said = "" if self.returns is None else f" returns {self.returns}"
        return f"test[:{self.samples}] {self.target} {self.output or 'default'} train[:{self.background}]{said}"

    @property
    def recipe(self) -> ModelSpec:
        """The recipe of the model, with what its numbers are said to be."""
        recipe = cast(ModelSpec, self.model.spec)
        return recipe if self.returns is None else replace(recipe, returns=self.returns)

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

    @property
    def kind_of_data(self) -> str:
        """The need that data of this kind meet, such as ``image`` or ``text``."""
        return need_of_data(cast(DatasetSpec, self.dataset.spec).features)

    @property
    def default_masker(self) -> str | None:
        """The masker in the place of defaults that features of this kind have no use for; see `FeatureLayout`."""
        return default_masker(cast(DatasetSpec, self.dataset.spec).features)

    def capabilities(self) -> frozenset[str] | None:
        """Needs that the problem will meet by what its parts declare; None if only building tells."""
        model = cast(ModelSpec, self.model.spec)
        if model.provides is None:
            return None
        return self.offered(model.provides)

    def offered(self, provides: frozenset[str]) -> frozenset[str]:
        """Needs that the problem meets with a model that meets ``provides``."""
        dataset = cast(DatasetSpec, self.dataset.spec)
        # A linear model's weights are the slopes of its logits, and of nothing else.
        slopes = self.output in (None, "logit", "contrast") and self.returns in (None, "logit", "binary_logit")
        given = dataset.provides
        if self.target == EACH:
            given = frozenset(need for need in given if need.partition(".")[0] not in PAIRS)
        always = _ALWAYS - {"retrain"} if cast(ModelSpec, self.model.spec).fitted else _ALWAYS
        linear = frozenset({"truth.weights", "truth.contributions"})
        return always | {self.kind_of_data} | given | (provides if slopes else provides - linear)

    @property
    def lacking(self) -> Mapping[str, str]:
        """Needs that the model does not meet by what it is, and why."""
        return cast(ModelSpec, self.model.spec).lacking

    def check(self) -> None:
        """Raise UsageError if the model does not take this kind of data."""
        dataset = cast(DatasetSpec, self.dataset.spec)
        check_features(cast(ModelSpec, self.model.spec), dataset.features, dataset.name)


MODEL_OF_FUNCTIONS = "functions"
"""What stands for the model where the problem is a set of functions."""


@dataclass(frozen=True)
class FunctionProblemSpec:
    """Specification of a problem of functions, or of other cases, as plain data.

    Attributes
    ----------
    functions : ComponentRef
    seed : int
        Fixes the functions.
    samples : int or None
        Number of functions, at most; None: all of the set.
    budget : int
        Questions that may be asked of each; 0 for cases, whose runs are counted and not limited.
    """

    functions: ComponentRef
    seed: int
    samples: int | None
    budget: int

    @property
    def kind(self) -> str:
        """What stands for the model: the kind of cases; of functions, that word."""
        spec = cast(FunctionsSpec, self.functions.spec)
        return spec.functions if spec.holds_cases else MODEL_OF_FUNCTIONS

    @property
    def name(self) -> str:
        return f"{self.functions.label}/{self.kind}"

    @property
    def selection(self) -> str:
        """Which functions, and how many questions to each; which cases."""
        chosen = f"[:{'' if self.samples is None else self.samples}]"
        if self.kind != MODEL_OF_FUNCTIONS:
            return f"cases{chosen}"
        return f"functions{chosen} budget {self.budget}"

    @cached_property
    def identity(self) -> list[Any]:
        """Names and parameters, without versions."""
        return [self.functions.identity, self.kind, self.seed, self.selection]

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
        return self.functions.label, self.kind

    @property
    def names(self) -> tuple[str, str]:
        """The same without parameters."""
        return self.functions.spec.name, self.kind

    def capabilities(self) -> frozenset[str]:
        """Needs that the functions meet."""
        return cast(FunctionsSpec, self.functions.spec).provides

    @property
    def lacking(self) -> Mapping[str, str]:
        """Nothing."""
        return {}


AnyProblemSpec = ProblemSpec | FunctionProblemSpec
