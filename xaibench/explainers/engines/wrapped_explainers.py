"""Explainers that an explainer calls by name: only those whose code the keys of results hold."""

from __future__ import annotations

from xaibench.core.components import ExplainerSpec
from xaibench.core.errors import UnsupportedError
from xaibench.core.registry import get


def built_in_explainer(name: str, wrapper: str) -> ExplainerSpec:
    """The explainer of this name, for another one that calls it.

    Keys of results hold the wrapper, its version and this name: results would stay when the code of a user's explainer
    changes, or the version of a library that an adapter calls.

    Raises
    ------
    UsageError
        If there is no explainer of this name.
    UnsupportedError
        If it is not one of xaibench's own.
    """
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    if spec.code_digest is not None or spec.library is not None:
        raise UnsupportedError(
            f"{wrapper} takes built-in explainers, and {name!r} is not one: keys of results would not hold its code",
            "call xaibench's explainer from your own one",
        )
    return spec
