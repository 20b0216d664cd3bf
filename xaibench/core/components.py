"""Specifications of components: kind, needs, version, parameters and their validation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from xaibench.core.cases.kinds import case_kind, case_kinds
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.features import FeatureKind
from xaibench.core.keys import digest
from xaibench.core.masking.maskers import MASKERS
from xaibench.core.types import FunctionKind

ORACLE, RANDOM = "oracle", "random"
"""The controls at both ends of skill: the truth itself, and independent noise."""
Kind = Literal["explainer", "metric", "dataset", "model", "interpreter", "functions"]
KINDS: tuple[Kind, ...] = get_args(Kind)
AttributionKind = Literal["slope", "contribution", "saliency"]
Convert = Literal["contribution", "order"]
ATTRIBUTION_KINDS: tuple[str, ...] = get_args(AttributionKind)
Sign = Literal["signed", "absolute", "positive"]
UndefinedFor = Literal["zero maps", "constant maps", "some inputs"]
UNDEFINED_FOR: tuple[str, ...] = get_args(UndefinedFor)
Uninformative = Literal["zero maps", "constant maps"]
UNINFORMATIVE: tuple[str, ...] = get_args(Uninformative)
Family = Literal["faithfulness", "robustness", "sanity", "ground_truth", "complexity", "axiomatic"]
DATA_NEEDS = frozenset({"image", "table", "series", "text", "graph", "program", "case"})
"""Kinds of data; a component that names several takes any of them."""
FUNCTION_KINDS: tuple[str, ...] = get_args(FunctionKind)
"""Kinds of functions, where the data are programs; a component that names several takes any of them."""
NEEDS = DATA_NEEDS | {
    *FUNCTION_KINDS,
    "others",
    "gradients",
    "module",
    "truth",
    "truth.mask",
    "truth.weights",
    "truth.distractors",
    "reexplain",
    "retrain",
    "labels",
    "background",
}
PAIRS = ("model_pair", "input_pair")
"""Needs of these kinds have a name of their own: ``model_pair.contrast``."""
_SPECIAL = frozenset({"draws", "seed", "progress"})


@dataclass(frozen=True)
class Component:
    """A registered function with what the planner must know about it.

    Attributes
    ----------
    name : str
    function : callable
    needs : frozenset of str
        What a problem must offer; a missing need makes the cell ``unsupported`` before anything runs.
    version : int
        Raised when results change; results of other versions are never reused.
    """

    name: str
    function: Callable[..., Any]
    needs: frozenset[str] = frozenset()
    version: int = 1
    kind: Kind = field(default="explainer", init=False)

    def __post_init__(self) -> None:
        unknown = {n for n in self.needs - NEEDS - case_kinds() if n.partition(".")[0] not in PAIRS}
        if unknown:
            name = sorted(unknown)[0]
            raise UsageError(f"{self.name} needs unknown {name!r}", did_you_mean(name, NEEDS | case_kinds()))

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def about_programs(self) -> bool:
        """Whether this goes with sets of functions or of other cases, and not with models and data."""
        return bool(self.needs & {"program", "case"})

    @property
    def about_cases(self) -> bool:
        """Whether this goes with cases, which are no functions."""
        return "case" in self.needs and "program" not in self.needs

    @property
    def kinds_taken(self) -> frozenset[str]:
        """Kinds of functions and cases that this is about; empty where it takes every kind."""
        return self.needs & kinds_known()

    def takes_kind(self, kind: str) -> bool:
        """Whether this is about functions, or cases, of a kind."""
        sort = "program" if kind in FUNCTION_KINDS else "case"
        return sort in self.needs and (not self.kinds_taken or kind in self.kinds_taken)

    @property
    def registered(self) -> bool:
        """Whether the function was decorated, and so has a version that says when its results change."""
        return getattr(self.function, "__xaibench__", None) is not None

    @property
    def parameters(self) -> dict[str, Any]:
        """Keyword parameters that a suite may set, with their defaults."""
        found = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY and p.name not in _SPECIAL}

    def takes(self, name: str) -> bool:
        """Whether the function has a parameter of this name."""
        return name in inspect.signature(self.function).parameters

    def bind(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Complete and check parameters: unknown names and wrong types are usage errors."""
        import pydantic

        known = self.parameters
        for name in params:
            if name not in known:
                raise UsageError(f"{self.kind} {self.name!r} has no parameter {name!r}", did_you_mean(name, known))
        merged = {**known, **params}
        for name, value in merged.items():
            if value is inspect.Parameter.empty:
                raise UsageError(f"{self.kind} {self.name!r} needs a value for {name!r}")
        hints = inspect.get_annotations(self.function, eval_str=True)
        for name in params:
            if name not in hints:
                continue
            try:
                checked = pydantic.TypeAdapter(hints[name]).validate_python(merged[name])
            except pydantic.ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise UsageError(
                    f"{self.kind} {self.name!r}: {name} = {merged[name]!r} is not valid ({reason})"
                ) from error
            if isinstance(checked, float) and not math.isfinite(checked):
                raise UsageError(f"{self.kind} {self.name!r}: {name} = {checked} is not a finite number")
            merged[name] = checked
            if name in ("masker", "baseline") and known[name] in MASKERS and checked not in MASKERS:
                raise UsageError(
                    f"{self.kind} {self.name!r}: unknown {name} {checked!r}", did_you_mean(str(checked), MASKERS)
                )
        return merged


def kinds_known() -> frozenset[str]:
    """Names of all kinds of functions and cases."""
    return frozenset(FUNCTION_KINDS) | case_kinds()


def source_digest(spec: Component) -> str:
    """Digest of the file that defines a component; of its name, where there is no file."""
    path = inspect.getsourcefile(spec.function)
    if path is None or not Path(path).is_file():
        return digest(spec.function.__module__, spec.function.__qualname__)
    return digest(Path(path).read_text(encoding="utf-8"))


def sees_truth(needs: Iterable[str]) -> bool:
    """Whether a truth of any form is among the needs."""
    return any(n.partition(".")[0] == "truth" for n in needs)


def missing_needs(needs: Iterable[str], capabilities: Iterable[str]) -> list[str]:
    """Needs that ``capabilities`` does not meet; kinds of data (and of functions) are alternatives.

    The need ``truth`` is met by a truth that explainers may be shown: ``truth.mask`` or ``truth.weights``.
    """
    wanted, offered = set(needs), set(capabilities)
    if offered & {"truth.mask", "truth.weights"}:
        offered.add("truth")
    missing = sorted(wanted - offered - DATA_NEEDS - kinds_known())
    for alternatives in (DATA_NEEDS, kinds_known()):
        kinds = wanted & alternatives
        if kinds and not kinds & offered:
            missing.append(" or ".join(sorted(kinds)))
    return missing


@dataclass(frozen=True)
class ExplainerSpec(Component):
    """An explainer; see `explainer`."""

    attribution_kind: AttributionKind | Callable[..., AttributionKind] = "contribution"
    control: bool = False
    follows_outputs: bool = True
    feature_maps_only: bool = False
    layer_used: Callable[..., str] | None = None
    kind: Kind = field(default="explainer", init=False)

    def stated_kind(self, params: Mapping[str, Any]) -> AttributionKind | None:
        """What the numbers mean with these parameters, or None where the problem decides.

        The sum of the positive parts of ``channels`` has no sign any more.
        """
        if params.get("channels", "sum") != "sum":
            return "saliency"
        return None if callable(self.attribution_kind) else self.attribution_kind

    @property
    def placebo(self) -> bool:
        """Whether this is a control that does not know the truth: what an explanation must beat."""
        return self.control and not sees_truth(self.needs)


@dataclass(frozen=True)
class CostEstimate:
    """What asking a service takes at most.

    Attributes
    ----------
    requests, prompt_tokens, completion_tokens : int
    cost : float or None
        None where no prices are known.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None = None


@dataclass(frozen=True)
class InterpreterSpec(Component):
    """An interpreter; see `interpreter`."""

    control: bool = False
    restore: Callable[..., Any] | None = None
    estimate: Callable[[Mapping[str, Any], int, int], CostEstimate] | None = None
    unkeyed: frozenset[str] = frozenset()
    kind: Kind = field(default="interpreter", init=False)

    @property
    def placebo(self) -> bool:
        """Whether this is a control that does not know the truth: what an interpretation must beat."""
        return self.control and not sees_truth(self.needs)


def is_control(spec: Component) -> bool:
    """Whether a component explains as a control."""
    return isinstance(spec, (ExplainerSpec, InterpreterSpec)) and spec.control


@dataclass(frozen=True)
class MetricSpec(Component):
    """A metric; see `metric`."""

    family: Family = "faithfulness"
    higher_is_better: bool = True
    bounds: tuple[float | None, float | None] = (None, None)
    scope: Literal["sample", "dataset"] = "sample"
    accepts: frozenset[str] = frozenset(ATTRIBUTION_KINDS)
    convert: Convert | Callable[[Mapping[str, Any]], Convert | None] | None = None
    output: str | None = None
    aggregate: Literal["mean", "median_log10"] = "mean"
    skill_valid: bool = False
    sign: Sign = "signed"
    curve: Callable[..., Tensor] | None = None
    source: str = ""
    budgets: Callable[[Mapping[str, Any], int], Iterable[int]] | None = None
    construct: str = ""
    undefined_for: frozenset[str] = frozenset()
    scale_invariant: bool = True
    place_matters: bool = False
    shares_evaluations: bool = False
    rewards_truth: bool = True
    in_output_unit: bool | Callable[[Mapping[str, Any]], bool] = False
    favours: frozenset[str] = frozenset()
    worst: float | None = None
    kind: Kind = field(default="metric", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted(self.undefined_for - set(UNDEFINED_FOR))
        if unknown:
            raise UsageError(
                f"{self.name} is undefined for unknown {unknown[0]!r}", did_you_mean(unknown[0], UNDEFINED_FOR)
            )
        unknown = sorted(self.favours - set(UNINFORMATIVE))
        if unknown:
            raise UsageError(f"{self.name} favours unknown {unknown[0]!r}", did_you_mean(unknown[0], UNINFORMATIVE))
        if self.about_cases and self.worst_score is None:
            raise UsageError(
                f"{self.name} does not say which score is the worst",
                "an explainer that fails on a case gets it: give bounds on that side, or worst=",
            )

    @property
    def worst_score(self) -> float | None:
        """What an explainer gets that has failed on a case: as declared, else the bound on the bad side."""
        return self.worst if self.worst is not None else self.bounds[0 if self.higher_is_better else 1]

    @property
    def measures(self) -> str:
        """What is measured, whatever the score made of it: metrics of one construct have one vote together."""
        return self.construct or self.name

    @property
    def truth_form(self) -> str:
        """Form of the truth that scores are against: ``weights``, ``mask`` (distractors are one too), or none."""
        if "truth.weights" in self.needs:
            return "weights"
        return "mask" if self.needs & {"truth.mask", "truth.distractors"} else ""

    def handled_sign(self, params: Mapping[str, Any]) -> str:
        """What is done with the sign of attributions: a parameter of this name decides, else the metric's rule."""
        return str(params.get("sign", self.sign))

    def has_output_unit(self, params: Mapping[str, Any]) -> bool:
        """Whether scores with these parameters have the unit of the output; parameters left out have their defaults."""
        rule = self.in_output_unit
        return rule({**self.parameters, **params}) if callable(rule) else rule

    def conversion(self, params: Mapping[str, Any]) -> Convert | None:
        """How slopes are converted with these parameters."""
        return self.convert(params) if callable(self.convert) else self.convert


@dataclass(frozen=True)
class DatasetSpec(Component):
    """A dataset; see `dataset`."""

    features: FeatureKind = "table"
    provides: frozenset[str] = frozenset()
    kind: Kind = field(default="dataset", init=False)


@dataclass(frozen=True)
class FunctionsSpec(Component):
    """A set of functions, or of other cases; see `functions`.

    Attributes
    ----------
    functions : str
        Their kind.
    unkeyed_defaults : frozenset of str
        Parameters that no id and no key holds where they have their default.
    """

    functions: str = "numeric"
    unkeyed_defaults: frozenset[str] = frozenset()
    kind: Kind = field(default="functions", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.functions not in FUNCTION_KINDS:
            case_kind(self.functions)

    @property
    def parameters(self) -> dict[str, Any]:
        """Keyword parameters that a suite may set; ``cache`` is not one, it is the folder for fitted models."""
        return {name: default for name, default in super().parameters.items() if name != "cache"}

    @property
    def holds_cases(self) -> bool:
        """Whether these are cases, which have no program."""
        return self.functions not in FUNCTION_KINDS

    @property
    def noun(self) -> str:
        """What the members are called, such as ``numeric functions`` or ``influence cases``."""
        return f"{self.functions} {'cases' if self.holds_cases else 'functions'}"

    @property
    def provides(self) -> frozenset[str]:
        """Needs that a problem of these functions meets."""
        return frozenset({"case" if self.holds_cases else "program", "others", "truth", self.functions})


@dataclass(frozen=True)
class ModelSpec(Component):
    """A model recipe; see `model`."""

    provides: frozenset[str] | None = None
    features: frozenset[str] | None = None
    kind: Kind = field(default="model", init=False)
