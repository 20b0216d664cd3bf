"""Validation errors of suite files as one sentence and a hint."""

from __future__ import annotations

import difflib

import pydantic
from pydantic import BaseModel

from xaibench.core.errors import did_you_mean
from xaibench.core.validation_words import mistake_in_words, place_in_words
from xaibench.suite.claims import Claim, ScoreSelection
from xaibench.suite.matrix import CellPattern, Suite
from xaibench.suite.problems import FunctionsEntry, ProblemEntry
from xaibench.suite.references import ComponentEntry, MetricEntry, ModelEntry


def first_mistake(error: pydantic.ValidationError, source: str) -> tuple[str, str | None]:
    """One sentence and a hint for the first thing that is wrong."""
    first = error.errors()[0]
    place = _place(first["loc"])
    where, parent = place_in_words(place), place_in_words(place[:-1])
    inside = f" in {parent}" if parent else ""
    if first["type"] == "extra_forbidden":
        fields = _fields_at(first["loc"])
        name = str(first["loc"][-1])
        hint = did_you_mean(name, fields)
        if "params" in fields and not difflib.get_close_matches(name, fields, n=1, cutoff=0.75):
            hint = f"parameters go into params, for example params = {{ {name} = ... }}"
        return f"{source}: unknown field {name!r}{inside}", hint
    if first["type"] == "missing":
        return f"{source}: {str(first['loc'][-1])!r} is missing{inside}", None
    more = len(error.errors()) - 1
    said = mistake_in_words(first)
    return f"{source}: {where}: {said}" if where else f"{source}: {said}", f"and {more} more" if more else None


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Where something is in the file: the tag of a problem's kind, which follows its number, is not part of it."""
    return (*loc[:2], *loc[3:]) if loc[:1] == ("problems",) else loc


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that a wrong field stands in."""
    parts: dict[str, type[BaseModel]] = {
        "problems": ProblemEntry,
        "explainers": ComponentEntry,
        "interpreters": ComponentEntry,
        "functions": ComponentEntry,
        "metrics": MetricEntry,
        "include": CellPattern,
        "exclude": CellPattern,
        "models": ModelEntry,
        "dataset": ComponentEntry,
        "claims": Claim,
        "left": ScoreSelection,
        "right": ScoreSelection,
        "reference": ScoreSelection,
    }
    owner: type[BaseModel] = Suite
    if loc[:1] == ("problems",) and len(loc) > 2:
        parts["problems"] = FunctionsEntry if loc[2] == "functions" else ProblemEntry
    for part in _place(loc)[:-1]:
        owner = parts.get(str(part), owner)
    return [name for name in owner.model_fields if name != "folder"]
