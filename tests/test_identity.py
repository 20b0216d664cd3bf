"""Names and keys of the shipped suites are those on record, so that stores and caches stay good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.identity import real_keys, suite_identity

from xaibench import suite as suites

RECORD: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "identity.json").read_text(encoding="utf-8"))
TRAINED = frozenset({"concept_cnn", "superposition_eight", "synth_sae"})
"""Suites whose cases are trained, or take seconds to draw, when they are made."""
HINT = "a change needs a raised version and a line in CHANGELOG.md; then record anew (tests/helpers/identity.py)"


def takes_long(part: str, name: str) -> bool:
    """Large suites are slow to expand, and many problems, or whole sets of functions, slow to make."""
    cells = sum(int(row.partition(" ")[0]) for row in RECORD["ids"][name]["explainers"].values())
    made_slowly = name.endswith("_full") or name in TRAINED or len(RECORD["keys"].get(name, ())) > 10
    return cells > 5000 or (part == "keys" and made_slowly)


def each_of(part: str) -> pytest.MarkDecorator:
    """The suites on record, the large ones marked as slow."""
    names = sorted(RECORD[part])
    return pytest.mark.parametrize(
        "name", [pytest.param(n, marks=[pytest.mark.slow] if takes_long(part, n) else []) for n in names]
    )


def test_every_shipped_suite_is_on_record() -> None:
    assert sorted(suites.available()) == sorted(RECORD["ids"])


@each_of("ids")
def test_ids_and_key_functions_are_as_before(name: str) -> None:
    found, expected = suite_identity(name), RECORD["ids"][name]
    for part in ("problems", "metrics", "explainers"):
        assert found[part] == expected[part], f"{part} of {name}: {HINT}"


@each_of("keys")
def test_content_keys_of_analytic_problems_are_as_before(name: str) -> None:
    assert real_keys(name) == RECORD["keys"][name], HINT
