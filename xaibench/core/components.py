"""Specifications of components: kind, needs, version, parameters and their validation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from xaibench.core.cases.kinds import case_kinds
from xaibench.core.declarations import check_bounds, check_version, check_word, check_words
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.libraries import installed_version, library_of
from xaibench.core.masking.names import MASKERS
from xaibench.core.needs import FUNCTION_KINDS, NEEDS, PAIRS, kinds_known, sees_truth
from xaibench.core.outputs import OUTPUTS
from xaibench.core.source_files import source_of
from xaibench.core.validation_words import mistake_in_words, place_in_words

if TYPE_CHECKING:
    from torch import Tensor

ORACLE, RANDOM = "oracle", "random"
"""The controls at both ends of skill: the truth itself, and independent noise."""
Kind = Literal["explainer", "metric", "dataset", "model", "interpreter", "functions"]
KINDS: tuple[Kind, ...] = get_args(Kind)
AttributionKind = Literal["slope", "contribution", "saliency"]
Convert = Literal["contribution", "order"]
Scope = Literal["sample", "dataset"]
ScoreBounds = tuple[float | None, float | None]
ATTRIBUTION_KINDS: tuple[str, ...] = get_args(AttributionKind)
Sign = Literal["signed", "absolute", "positive"]
UndefinedFor = Literal["zero maps", "constant maps", "some inputs"]
UNDEFINED_FOR: tuple[str, ...] = get_args(UndefinedFor)
Uninformative = Literal["zero maps", "constant maps"]
UNINFORMATIVE: tuple[str, ...] = get_args(Uninformative)
Family = Literal["faithfulness", "robustness", "sanity", "ground_truth", "complexity", "axiomatic"]
_SPECIAL = frozenset({"draws", "seed", "progress", "suite_folder"})


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
    unkeyed_defaults : frozenset of str
        Parameters that were added later: no id and no key holds them where they have their default.
    """

    name: str
    function: Callable[..., Any]
    needs: frozenset[str] = frozenset()
    version: int = 1
    unkeyed_defaults: frozenset[str] = field(default=frozenset(), kw_only=True)
    kind: Kind = field(default="explainer", init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise UsageError(f"a {self.kind} cannot be called {self.name!r}", "give it a name")
        check_version(self.called, self.version)
        unknown = {n for n in self.needs - NEEDS - case_kinds() if n.partition(".")[0] not in PAIRS}
        if unknown:
            name = sorted(unknown)[0]
            raise UsageError(f"{self.name} needs unknown {name!r}", did_you_mean(name, NEEDS | case_kinds()))

    @property
    def called(self) -> str:
        """Kind and name, as errors say them."""
        return f"{self.kind} {self.name!r}"

    @property
    def library(self) -> str | None:
        """The prefix of the library of others that this calls, such as ``captum``; None for all others."""
        return library_of(self.name)

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
        """Whether this goes with cases, which are not functions."""
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

    @cached_property
    def code_digest(self) -> str | None:
        """Digest of a user's code behind this, which keys of results hold; None for xaibench's own, which has versions.

        See `xaibench.core.source_files.source_of`. Of a component that is a file: the digest of its content. Of one
        that calls another library: the version of that which is installed.
        """
        stated: str | None = getattr(self.function, "content_digest", None)
        if self.library is not None and stated is None and source_of(self.function) is None:
            version = installed_version(self.library)
            return None if version is None else f"{self.library} {version}"
        return stated or source_of(self.function)

    @cached_property
    def _signature(self) -> inspect.Signature:
        """Signature of the function, which every scoring asks for."""
        return inspect.signature(self.function)

    @property
    def parameters(self) -> dict[str, Any]:
        """Keyword parameters that a suite may set, with their defaults."""
        found = self._signature.parameters.values()
        return {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY and p.name not in _SPECIAL}

    def keyed(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """The bound parameters that ids, keys and rows hold: without `unkeyed_defaults` that have their default."""
        if not self.unkeyed_defaults:
            return dict(bound)
        defaults = self.parameters
        return {k: v for k, v in bound.items() if k not in self.unkeyed_defaults or v != defaults[k]}

    def completed(self, keyed: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that ids, keys and rows hold, with the defaults that are left out there; see `keyed`."""
        return {**{name: self.parameters[name] for name in self.unkeyed_defaults}, **keyed}

    def takes(self, name: str) -> bool:
        """Whether the function has a parameter of this name."""
        return name in self._signature.parameters

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
        hints = self._hints() if params else {}
        for name in params:
            if name not in hints:
                continue
            try:
                checked = pydantic.TypeAdapter(hints[name]).validate_python(merged[name])
            except pydantic.ValidationError as error:
                first = error.errors()[0]
                where = place_in_words(first["loc"])
                reason = f"{where}: {mistake_in_words(first)}" if where else mistake_in_words(first, value=False)
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

    def _hints(self) -> dict[str, Any]:
        """Annotations of the parameters, evaluated.

        Raises
        ------
        UsageError
            If one of them names what is not there when the program runs.
        """
        try:
            return inspect.get_annotations(self.function, eval_str=True)
        except Exception as error:
            raise UsageError(
                f"{self.called}: an annotation cannot be evaluated: {type(error).__name__}: {error}",
                "import what annotations of parameters name outside `if TYPE_CHECKING`",
            ) from error


@dataclass(frozen=True)
class ExplainerSpec(Component):
    """An explainer; see `explainer`.

    ``stored`` says that its maps were made elsewhere and nothing explains again; ``channels_used`` is then a function
    ``(problem, **params) -> str`` that says how several channels became one number. ``kind_of`` says what the numbers
    mean from the parameters, where these decide it.
    """

    attribution_kind: AttributionKind | Callable[..., AttributionKind] = "contribution"
    control: bool = False
    follows_outputs: bool = True
    feature_maps_only: bool = False
    some_models_only: bool = False
    model_free: bool | Callable[[Mapping[str, Any]], bool] = False
    layer_used: Callable[..., str] | None = None
    uses_background: bool | Callable[[Mapping[str, Any]], bool] = False
    aliases: frozenset[str] = frozenset()
    stored: bool = False
    channels_used: Callable[..., str] | None = None
    kind_of: Callable[..., AttributionKind] | None = None
    kind: Kind = field(default="explainer", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.attribution_kind):
            check_word(self.called, "kind", self.attribution_kind, ATTRIBUTION_KINDS)

    def stated_kind(self, params: Mapping[str, Any]) -> AttributionKind | None:
        """What the numbers mean with these parameters, or None where the problem decides.

        The sum of the positive parts of ``channels`` has no sign any more, and neither have magnitudes (``absolute``).
        """
        if params.get("channels", "sum") != "sum" or params.get("absolute") is True:
            return "saliency"
        if self.kind_of is not None:
            return self.kind_of({**self.parameters, **params})
        return None if callable(self.attribution_kind) else self.attribution_kind

    def never_asks_the_model(self, params: Mapping[str, Any]) -> bool:
        """Whether its maps with these parameters are the same for every model, as it declares."""
        return bool(self.model_free({**self.parameters, **params}) if callable(self.model_free) else self.model_free)

    @property
    def placebo(self) -> bool:
        """Whether this is a control that does not know the truth: what an explanation must beat."""
        return self.control and not sees_truth(self.needs)


@dataclass(frozen=True)
class MetricSpec(Component):
    """A metric; see `metric`."""

    family: Family = "faithfulness"
    higher_is_better: bool = True
    bounds: ScoreBounds = (None, None)
    scope: Scope = "sample"
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
    in_output_unit: bool | Mapping[str, Any] | Callable[[Mapping[str, Any]], bool] = False
    favours: frozenset[str] = frozenset()
    output_bounds: Mapping[str, ScoreBounds] = field(default_factory=dict)
    worst: float | None = None
    ranks: bool | Mapping[str, Any] = True
    dataset_where: Mapping[str, Any] | None = None
    absolute_where: Mapping[str, Any] | None = None
    kind: Kind = field(default="metric", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self.called, "family", self.family, get_args(Family))
        check_word(self.called, "scope", self.scope, get_args(Scope))
        check_word(self.called, "aggregate", self.aggregate, ("mean", "median_log10"))
        check_word(self.called, "sign", self.sign, get_args(Sign))
        check_words(self.called, "accepts", self.accepts, ATTRIBUTION_KINDS)
        if self.output is not None:
            check_word(self.called, "output", self.output, ("curve", *OUTPUTS))
        if self.convert is not None and not callable(self.convert):
            check_word(self.called, "convert", self.convert, get_args(Convert))
        check_words(self.called, "output_bounds", self.output_bounds, OUTPUTS)
        for pair in (self.bounds, *self.output_bounds.values()):
            check_bounds(self.called, pair)
        unknown = sorted(self.undefined_for - set(UNDEFINED_FOR))
        if unknown:
            raise UsageError(
                f"{self.name} is undefined for unknown {unknown[0]!r}", did_you_mean(unknown[0], UNDEFINED_FOR)
            )
        unknown = sorted(self.favours - set(UNINFORMATIVE))
        if unknown:
            raise UsageError(f"{self.name} favours unknown {unknown[0]!r}", did_you_mean(unknown[0], UNINFORMATIVE))
        for rule in (self.ranks, self.dataset_where, self.absolute_where):
            for name in rule if isinstance(rule, Mapping) else ():
                if name not in self.parameters:
                    raise UsageError(f"{self.called} has no parameter {name!r}", did_you_mean(name, self.parameters))
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
        """Form of the truth that scores are against: ``weights``, ``contributions``, ``signs``, ``mask`` or none.

        Distractors are a mask too.
        """
        for form in ("weights", "contributions", "signs"):
            if f"truth.{form}" in self.needs:
                return form
        return "mask" if self.needs & {"truth.mask", "truth.distractors"} else ""

    def handled_sign(self, params: Mapping[str, Any]) -> str:
        """What is done with the sign of attributions: a parameter of this name decides, else the metric's rule."""
        if self._holds(self.absolute_where, params):
            return "absolute"
        return str(params.get("sign", self.sign))

    def scope_of(self, params: Mapping[str, Any]) -> Scope:
        """What a score with these parameters is of: a sample, or the whole data set."""
        return "dataset" if self._holds(self.dataset_where, params) else self.scope

    def ranks_with(self, params: Mapping[str, Any]) -> bool:
        """Whether scores with these parameters may rank explainers."""
        return self._holds(self.ranks, params) if isinstance(self.ranks, Mapping) else self.ranks

    def _holds(self, rule: Mapping[str, Any] | None, params: Mapping[str, Any]) -> bool:
        """Whether parameters have the values of a rule; those left out have their defaults. False without a rule."""
        chosen = {**self.parameters, **params}
        return rule is not None and all(chosen[name] == value for name, value in rule.items())

    def has_output_unit(self, params: Mapping[str, Any]) -> bool:
        """Whether scores with these parameters have the unit of the output; parameters left out have their defaults."""
        rule = self.in_output_unit
        if isinstance(rule, Mapping):
            return self._holds(rule, params)
        return rule({**self.parameters, **params}) if callable(rule) else rule

    def bounds_of(self, params: Mapping[str, Any], output: str) -> ScoreBounds:
        """Bounds of the scores of an output, either of which may be None.

        Those that are declared for it, else ``bounds``; of scores in the unit of the output these hold for
        probabilities, and for other outputs only an end that stands alone.
        """
        if output in self.output_bounds:
            return self.output_bounds[output]
        if output != "probability" and None not in self.bounds and self.has_output_unit(params):
            return None, None
        return self.bounds

    def conversion(self, params: Mapping[str, Any]) -> Convert | None:
        """How slopes are converted with these parameters."""
        return self.convert(params) if callable(self.convert) else self.convert
