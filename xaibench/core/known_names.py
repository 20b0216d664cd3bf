"""Every registered component, those that call other libraries too, and the other names of explainers."""

from __future__ import annotations

from collections.abc import Iterator

from xaibench.core import registry
from xaibench.core.components import Component, ExplainerSpec, Kind


def all_components(kind: Kind) -> Iterator[Component]:
    """Components of a kind, first those that `components` lists, then those that call another library."""
    yield from registry.components(kind)
    yield from registry.adapters(kind)


def without_aliases(pattern: str) -> str:
    """A pattern of names, or of names between slashes, in which explainers have the names that they are shown with.

    >>> without_aliases("breast_cancer/*/expected_gradients")
    'breast_cancer/*/gradient_shap'
    >>> without_aliases("expected_gradients(n_samples=5)")
    'gradient_shap(n_samples=5)'
    """
    shown = {a: s.name for s in all_components("explainer") if isinstance(s, ExplainerSpec) for a in s.aliases}
    parts = (part.partition("(") for part in pattern.split("/"))
    return "/".join("".join((shown.get(name, name), *rest)) for name, *rest in parts)
