"""Numbers that are given to ``xaibench run`` as text."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any

from xaibench.analysis.racing.modes import RACE_MODES, RaceMode
from xaibench.core.errors import UsageError, did_you_mean

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_from(text: str, *, auto: int | None = None) -> int:
    """Number of worker processes: a count, or ``auto`` for one per core (none where the platform has no groups)."""
    if text == "auto" and auto is not None:
        return auto
    if text == "auto":
        return available_cores() if hasattr(os, "killpg") else 0
    if not text.isdecimal():
        raise UsageError(f"-j {text} is not a number of processes", "write a number or auto; 0 runs in this process")
    return int(text)


def size_from(text: str | None) -> int | None:
    """Bytes of ``4GB``, ``512MiB`` or ``1e9``; None stays None."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    try:
        if found is None:
            raise ValueError
        size = int(float(found[1]) * _UNITS[found[2].lower()])
    except (ValueError, KeyError, OverflowError):
        raise UsageError(f"--memory {text} is not a size", "write, for example, 4GB or 512MiB") from None
    if size < 1:
        raise UsageError(f"--memory {text} is not a size", "write, for example, 4GB or 512MiB")
    return size


def positive(value: float | None, option: str) -> float | None:
    """The value, if it is a number above 0."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise UsageError(f"{option} {value:g} is not above 0")
    return value


def settings_from(pairs: Iterable[str] | None, **named: str | None) -> dict[str, str]:
    """Settings of an executor, from ``NAME=VALUE`` and from options of their own."""
    found = {name: value for name, value in named.items() if value is not None}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise UsageError(f"--set {pair} is not a setting", "write, for example, --set units=4")
        if name in found:
            raise UsageError(f"{name} is set twice")
        found[name] = value
    return found


def parse_params(given: Sequence[str] | None) -> dict[str, Any]:
    """Parameters from ``name=value``; values are those of TOML, or else text."""
    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--param {text} is not valid", "write --param name=value")
        try:
            found[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = value
    return found


def number_list(text: str, option: str) -> list[float]:
    """Numbers of ``0,0.3,1``.

    Raises
    ------
    UsageError
        If one of them is not a number.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text} is not a list of numbers", "write, for example, 0,0.3,1") from None


def race_mode(text: str | None) -> RaceMode | None:
    """The kind of race that is asked for.

    Raises
    ------
    UsageError
        If there is no such race.
    """
    if text is None:
        return None
    if text not in RACE_MODES:
        raise UsageError(f"{text!r} is not a race", did_you_mean(text, RACE_MODES))
    return text
