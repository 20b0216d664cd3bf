"""Maskers in the place of defaults that a kind of features has no use for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from xaibench.core.masking.names import DRAWN, FILLING


def without_useless_defaults(
    parameters: Mapping[str, Any], named: Collection[str], default: str | None
) -> dict[str, Any]:
    """Maskers and baselines that are not named, where the layout has a default of its own.

    Only fixed fills are replaced: what a metric draws, or takes from neighbours, belongs to its definition.

    Parameters
    ----------
    parameters : mapping
        Parameters of a component, with their defaults.
    named : collection of str
        Those that the caller, or the suite, names.
    default : str or None
        `FeatureLayout.default_masker`.
    """
    if default is None:
        return {}
    return {
        name: default
        for name, value in parameters.items()
        if name in ("masker", "baseline") and name not in named and value in FILLING and value not in DRAWN
    }
