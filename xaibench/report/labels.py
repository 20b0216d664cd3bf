"""Short names for explainers, metrics and problems, and short numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from xaibench.core.keys import canonical_json
from xaibench.problems.specs import AnyProblemSpec


def variants(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Label of every (name, params): the name, with the parameters that distinguish its variants.

    Parameters
    ----------
    pairs : iterable of (str, str)
        Names with their parameters as JSON.
    """
    by_name: dict[str, list[str]] = {}
    for name, params in dict.fromkeys(pairs):
        by_name.setdefault(name, []).append(params)
    labels = {}
    for name, found in by_name.items():
        parsed = [_parse(p) for p in found]
        keys = sorted({k for p in parsed for k in p if len({canonical_json(q.get(k)) for q in parsed}) > 1})
        for params, values in zip(found, parsed, strict=True):
            shown = ", ".join(f"{k}={_plain(values[k])}" for k in keys if k in values)
            labels[name, params] = f"{name}({shown})" if shown else name
    return labels


def metric_labels(board: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Label of every (metric, params, asked_output) of a leaderboard: the output counts as one more parameter."""
    keys = list(dict.fromkeys(zip(board["metric"], board["params"], board["asked_output"], strict=True)))
    extended = [
        (metric, canonical_json({**_parse(params), "output": output}) if output else params)
        for metric, params, output in keys
    ]
    labels = variants(extended)
    return {key: labels[pair] for key, pair in zip(keys, extended, strict=True)}


def target_in_words(selection: object) -> str:
    """What a suite asks to be explained of a sample, such as ``contrast:cat-dog``; nothing where it is the prediction.

    Parameters
    ----------
    selection : object
        The column of results, such as ``test[:24] contrast:cat-dog default train[:64]``.

    Returns
    -------
    str
        Empty as well for what Python was given (``given``), and for functions and cases.

    Examples
    --------
    >>> target_in_words("test[:24] label:cow default train[:64]")
    'label:cow'
    >>> target_in_words("test[:24] predicted default train[:64]")
    ''
    """
    found = _TARGET.match(selection) if isinstance(selection, str) else None
    return "" if found is None or found[1] in _PLAIN_TARGETS else found[1]


_TARGET = re.compile(r"(?:test|inputs)\[:\d+\] (.+?) \S+ (?:train|background)\[:\d+\]")
_PLAIN_TARGETS = ("predicted", "given")


def problem_label(dataset: object, model: object, selection: object = None) -> str:
    """Data set and model, with what is explained where it is not the prediction: problems may differ in that alone.

    Examples
    --------
    >>> problem_label("animals", "mlp", "test[:24] contrast:cat-dog default train[:64]")
    'animals/mlp (contrast:cat-dog)'
    """
    target = target_in_words(selection)
    return f"{dataset}/{model} ({target})" if target else f"{dataset}/{model}"


def spec_label(problem: AnyProblemSpec) -> str:
    """The label of a problem that is planned: its name with parameters, and what is explained."""
    target = target_in_words(problem.selection)
    return f"{problem.name} ({target})" if target else problem.name


def problem_labels(frame: pd.DataFrame) -> list[str]:
    """The label of the problem of every row of results or of a board; see `problem_label`."""
    selections = frame["selection"] if "selection" in frame else [None] * len(frame)
    return [problem_label(*row) for row in zip(frame["dataset"], frame["model"], selections, strict=True)]


def _parse(params: str) -> dict[str, Any]:
    value = json.loads(params) if params else {}
    return value if isinstance(value, dict) else {"": value}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def number(value: float | None, digits: int = 3) -> str:
    """A number with some significant digits, and nothing for NaN."""
    if value is None or math.isnan(value):
        return ""
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e6):
        return f"{value:.{digits - 1}e}"
    return f"{value:.0f}" if size >= 10**digits else f"{value:#.{digits}g}".rstrip(".")


def time_label(seconds: float) -> str:
    """Seconds with two digits and a unit that fits: ``1.2 s``, ``34 ms``, ``5.6 µs``; nothing for NaN."""
    if math.isnan(seconds):
        return ""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{number(seconds / size, 2)} {unit}"
    return f"{number(seconds / 1e-6, 2)} µs"


def memory_label(size: float) -> str:
    """Bytes in MB; nothing for NaN."""
    return "" if math.isnan(size) else f"{size / 1e6:.0f} MB"


def share(value: float) -> str:
    """A number in [0, 1] in as few characters as two digits take: ``.07``, ``1.0``."""
    text = f"{value:.2f}"
    return text[1:] if text.startswith("0.") else text[:3]


def interval(low: float, high: float) -> str:
    """``[low, high]``, or nothing where there is no interval."""
    return "" if math.isnan(low) or math.isnan(high) else f"[{number(low)}, {number(high)}]"


def rank_interval(low: float | None, high: float | None) -> str:
    """``2``, or ``2-5`` where tests leave several ranks open; nothing where there is no rank."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"{low:.0f}" if low == high else f"{low:.0f}-{high:.0f}"


def p_value(p: float) -> str:
    """A p-value; very small ones only as such."""
    if math.isnan(p):
        return ""
    return "<.001" if p < 0.001 else "1" if p >= 0.9995 else f"{p:.3f}"[1:]


def needed_label(gate: Mapping[Any, Any], at_least: str, at_most: str) -> str:
    """The condition of a row of `gate_conditions`, with these signs; empty where the value is only measured."""
    if gate["passed"] and not gate["limited"]:
        return ""
    return f"{at_least if gate['at_least'] else at_most} {gate['threshold']:.3f}"
