"""Explainers that a caller names, writes or has used: one specification and its parameters for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from xaibench.api.arguments import find_component, require_choice
from xaibench.api.background import meant
from xaibench.core.components import ATTRIBUTION_KINDS, AttributionKind, Component, ExplainerSpec
from xaibench.core.errors import UsageError
from xaibench.core.keys import canonical_json
from xaibench.core.problem import ProblemView

ExplainWith = str | Callable[..., Any]
"""An explainer: its name, or a function (model, inputs, targets) -> attributions; ``context=`` where there is one."""


@dataclass(frozen=True)
class ChosenExplainer:
    """An explainer with all its parameters.

    Attributes
    ----------
    spec : ExplainerSpec
    params : mapping
        Bound parameters, defaults included.
    """

    spec: ExplainerSpec
    params: Mapping[str, Any]

    @property
    def keyed(self) -> str:
        """The parameters as canonical JSON, as stores have them."""
        return canonical_json(self.spec.keyed(self.params))

    @property
    def stream(self) -> str:
        """Name of the draws."""
        return f"explain/{self.spec.name}"

    def same(self, other: ExplainerSpec | None, params: Mapping[str, Any] | None) -> bool:
        """Whether this is the explainer, and these are the parameters where there are any."""
        if other is None or _function(self.spec) != _function(other):
            return False
        return params is None or self.keyed == canonical_json(self.spec.keyed(params))


def choose_explainer(
    explainer: Any, params: Mapping[str, Any] | None, kind: AttributionKind | None, view: ProblemView
) -> ChosenExplainer:
    """Find an explainer by name, or make a specification of a caller's function.

    Parameters
    ----------
    explainer : str or callable (model, inputs, targets) -> attributions
        A function that is decorated with `explainer` counts as the registered one.
    params : mapping, optional
    kind : {"slope", "contribution", "saliency"}, optional
        What the numbers of a function mean; by default ``"contribution"``. Registered explainers say it themselves.
    view : ProblemView
        What is to be explained; for tokens it decides the default masker.

    Raises
    ------
    UsageError
        If there is none of this name, or it does not take the parameters.
    """
    require_choice("kind", kind, ATTRIBUTION_KINDS)
    if params is not None and not (isinstance(params, Mapping) and all(isinstance(k, str) for k in params)):
        raise UsageError(f"parameters of an explainer are a dictionary, not {params!r}", '{"n_samples": 512}')
    spec = getattr(explainer, "__xaibench__", None)
    if not isinstance(spec, ExplainerSpec):
        spec = _of_callable(explainer, kind) if _is_function(explainer) else None
    if spec is None:
        spec = cast(ExplainerSpec, find_component("explainer", explainer))
    return ChosenExplainer(spec, spec.bind(meant(spec, dict(params or {}), view)))


def _is_function(explainer: Any) -> bool:
    return callable(explainer) and not isinstance(explainer, (type, Component))


def _of_callable(function: Callable[..., Any], kind: AttributionKind | None) -> ExplainerSpec:
    name = getattr(function, "__name__", type(function).__name__)
    return ExplainerSpec(name, _Adapter(function), attribution_kind=kind or "contribution")


class _Adapter:
    """A function (model, inputs, targets) as an explainer of a view."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, problem: ProblemView) -> Any:
        model = problem.model.predict if problem.model.module is None else problem.model.module
        beside = {"context": problem.context} if problem.context else {}
        return self.function(model, problem.inputs, problem.targets, **beside)


def _function(spec: ExplainerSpec) -> Any:
    return spec.function.function if isinstance(spec.function, _Adapter) else spec.function
