"""Components about functions and cases: sets of them, interpreters, and costs of external services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xaibench.core.cases.kinds import case_kind
from xaibench.core.components import Component, ExplainerSpec, Kind
from xaibench.core.needs import FUNCTION_KINDS, sees_truth


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
class FunctionsSpec(Component):
    """A set of functions, or of other cases; see `functions`.

    Attributes
    ----------
    functions : str
        Their kind.
    """

    functions: str = "numeric"
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
