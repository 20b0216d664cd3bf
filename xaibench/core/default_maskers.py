"""Maskers in the place of defaults that a kind of features has no use for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from xaibench.core.components import Component
from xaibench.core.errors import UsageError
from xaibench.core.masking.names import DRAWN, FILLING


def without_useless_defaults(component: Component, named: Collection[str], default: str | None) -> dict[str, Any]:
    """Maskers and baselines that are not named, where the layout has a default of its own.

    Only fixed fills are replaced: what a metric draws, or takes from neighbours, belongs to its definition.

    Parameters
    ----------
    component : Component
        Where it does not take this masker for a parameter, the parameter keeps its default.
    named : collection of str
        Those that the caller, or the suite, names.
    default : str or None
        `FeatureLayout.default_masker`.
    """
    if default is None:
        return {}
    return {
        name: default
        for name, value in component.parameters.items()
        if name in ("masker", "baseline") and name not in named and value in FILLING and value not in DRAWN
        if takes_masker(component, name, default)
    }


def takes_masker(component: Component, name: str, masker: str) -> bool:
    """Whether a component takes this masker for the parameter: some know a few baselines only."""
    try:
        component.bind({name: masker})
    except UsageError:
        return False
    return True
