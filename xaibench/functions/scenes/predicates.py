"""Pictures as choices of five factors, and the candidate predicates over their values."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

from xaibench.core.types import Array
from xaibench.datasets.bam_pictures import DRAWING_STYLES, OBJECTS, SCENES

FACTORS: dict[str, tuple[str, ...]] = {
    "object": OBJECTS,
    "scene": SCENES,
    "style": DRAWING_STYLES,
    "hue": ("original", "turned by 90", "turned by 180", "turned by 270"),
    "place": ("top left", "top right", "bottom left", "bottom right"),
}
"""Values of the five factors; a picture is one choice of each, (5,) of int."""
FACTOR_SIZES = tuple(len(values) for values in FACTORS.values())
N_VALUES = sum(FACTOR_SIZES)
FIRST_VALUES = tuple(int(n) for n in np.cumsum((0, *FACTOR_SIZES[:-1])))
"""Number of the first value of each factor, counting through."""
PredicateMode = Literal["mono", "or", "and"]


@cache
def scene_predicates() -> tuple[tuple[PredicateMode, int, int], ...]:
    """All 856 predicates: a value, one of two values, or two values of different factors at once.

    Each is a mode and the numbers of its values; the second one is -1 for a single value.
    """
    factor = np.repeat(np.arange(len(FACTOR_SIZES)), FACTOR_SIZES)
    pairs = [(a, b) for a in range(N_VALUES) for b in range(a + 1, N_VALUES)]
    return (
        *(("mono", a, -1) for a in range(N_VALUES)),
        *(("or", a, b) for a, b in pairs),
        *(("and", a, b) for a, b in pairs if factor[a] != factor[b]),
    )


def value_name(value: int) -> str:
    """For example ``object=dog``."""
    factor = int(np.searchsorted(FIRST_VALUES, value, side="right")) - 1
    name = list(FACTORS)[factor]
    return f"{name}={FACTORS[name][value - FIRST_VALUES[factor]]}"


@cache
def candidate_names() -> tuple[str, ...]:
    """Names of all predicates, such as ``object=dog and hue=original``."""
    return tuple(
        value_name(a) if mode == "mono" else f"{value_name(a)} {mode} {value_name(b)}"
        for mode, a, b in scene_predicates()
    )


def has_values(specs: Array) -> Array:
    """Which of the 31 values pictures (n, 5) have, (n, 31) of bool."""
    found = np.zeros((len(specs), N_VALUES), dtype=bool)
    found[np.arange(len(specs))[:, None], np.asarray(specs) + np.array(FIRST_VALUES)] = True
    return found


def members(specs: Array) -> Array:
    """Which pictures (n, 5) each of the 856 predicates is true for, (n, 856) of bool."""
    values = has_values(specs)
    modes = np.array([mode for mode, _, _ in scene_predicates()])
    a, b = (np.array([c[i] for c in scene_predicates()]) for i in (1, 2))
    first, second = values[:, a], values[:, b]
    found: Array = np.select([modes == "or", modes == "and"], [first | second, first & second], first)
    return found


@cache
def all_specs() -> Array:
    """All 4,800 pictures (4800, 5), the last factor changing fastest."""
    found = np.stack(np.meshgrid(*map(np.arange, FACTOR_SIZES), indexing="ij"), axis=-1).reshape(-1, len(FACTOR_SIZES))
    found.flags.writeable = False
    return found


@cache
def all_members() -> Array:
    """Which of all 4,800 pictures each predicate is true for, (4800, 856) of bool."""
    found = members(all_specs())
    found.flags.writeable = False
    return found


def spec_rows(specs: Array) -> Array:
    """Numbers (n,) of pictures (n, 5) among all of them.

    Raises
    ------
    ValueError
        If a value is not one of its factor.
    """
    chosen = np.asarray(specs)
    if (
        chosen.ndim != 2
        or chosen.shape[1] != len(FACTOR_SIZES)
        or (chosen < 0).any()
        or (chosen >= np.array(FACTOR_SIZES)).any()
    ):
        raise ValueError(f"a picture is five numbers below {FACTOR_SIZES}, and not {chosen.tolist()}")
    found: Array = np.ravel_multi_index(tuple(chosen.T), FACTOR_SIZES)
    return found
