"""The index of declarations says of every component what the registry says, and belongs to the code that it is of."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from xaibench.core import declaration_index, registry, sources
from xaibench.core.components import KINDS, Component, MetricSpec
from xaibench.core.declaration_index import built_in, declared, record_of, spec_of
from xaibench.core.declaration_json import (
    NotPlainError,
    hint_from_json,
    hint_to_json,
    value_from_json,
    value_to_json,
)
from xaibench.core.deferring import deferring
from xaibench.core.errors import UsageError
from xaibench.core.source_files import source_file

REAL = [spec for kind in KINDS for spec in registry.components(kind) if built_in(spec)]


def loaded(kind: Any, name: str, _module: str) -> Component:
    return registry.get(kind, name)


def in_index(spec: Component) -> Component:
    """A component as the index has it, after a way through a file."""
    return spec_of(json.loads(json.dumps(record_of(spec))), loaded)


@pytest.mark.parametrize("spec", REAL, ids=lambda s: f"{s.kind}-{s.name}")
def test_every_component_is_declared_as_it_is(spec: Component) -> None:
    found = in_index(spec)
    assert type(found) is type(spec)
    for field in fields(spec):
        old, new = getattr(spec, field.name), getattr(found, field.name)
        if callable(old):
            assert callable(new)
        else:
            assert (type(new), new) == (type(old), old), field.name
    assert found.parameters == spec.parameters
    assert [type(v) for v in found.parameters.values()] == [type(v) for v in spec.parameters.values()]
    assert (found.summary, found.registered, found.about_programs) == (spec.summary, True, spec.about_programs)
    assert inspect.getdoc(found.function) == inspect.getdoc(spec.function)
    assert source_file(found.function) == source_file(spec.function)
    assert found.function.__module__ == spec.function.__module__
    for name in ("seed", "draws", "progress", "nothing"):
        assert found.takes(name) == spec.takes(name)
    needed = [n for n, v in spec.parameters.items() if v is inspect.Parameter.empty]
    if not needed:
        assert found.bind({}) == spec.bind({})


WRONG: list[Any] = [None, -1, 0, 1, 2, 3, 0.5, -0.5, 1.5, "zero", "sum", "nonsense", "", True, [1], [0.5, 0.25], [], {}]


@pytest.mark.slow
@pytest.mark.parametrize("spec", REAL, ids=lambda s: f"{s.kind}-{s.name}")
def test_parameters_are_checked_alike_with_the_same_words(spec: Component) -> None:
    found = in_index(spec)
    others = {n: "x" for n, v in spec.parameters.items() if v is inspect.Parameter.empty}

    def bound(component: Component, name: str, value: Any) -> Any:
        try:
            return component.bind({**others, name: value})
        except UsageError as error:
            return error.message, error.hint

    for name in [*spec.parameters, "no_such_parameter"]:
        for value in WRONG:
            assert bound(found, name, value) == bound(spec, name, value), (name, value)


def test_functions_are_imported_when_they_are_called() -> None:
    asked: list[tuple[str, str]] = []

    def load(kind: Any, name: str, module: str) -> Component:
        asked.append((kind, name))
        return registry.get(kind, name)

    spec = spec_of(record_of(registry.get("dataset", "breast_cancer")), load)
    assert spec.bind({}) == registry.get("dataset", "breast_cancer").bind({})
    assert not asked
    data = spec.function(seed=0)
    assert asked == [("dataset", "breast_cancer")]
    assert data.fingerprint == registry.get("dataset", "breast_cancer").function(seed=0).fingerprint
    metric = spec_of(record_of(registry.get("metric", "infidelity")), load)
    assert isinstance(metric, MetricSpec)
    assert metric.conversion({"perturbation": "square"}) == "contribution"
    assert metric.conversion({"perturbation": "noise"}) is None


def test_the_unit_of_the_output_is_said_by_values_of_parameters() -> None:
    road = in_index(registry.get("metric", "road_morf"))
    assert isinstance(road, MetricSpec)
    assert road.has_output_unit({})
    assert not road.has_output_unit({"measure": "accuracy"})


def test_other_code_has_an_index_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    made: list[int] = []

    def everything() -> list[Component]:
        made.append(1)
        return REAL

    for state, times in (("a" * 32, 1), ("a" * 32, 1), ("b" * 32, 2), ("a" * 32, 2)):
        monkeypatch.setattr(declaration_index, "package_digest", lambda state=state: state)
        found = declared(everything, loaded)
        assert found is not None
        assert len(made) == times
        assert {kind: set(table) for kind, table in found.items()} == {
            kind: {s.name for s in REAL if s.kind == kind} for kind in KINDS
        }


@pytest.mark.parametrize("content", ["", "[", "{}", "[]", "null", '"x"', '[{"module": "os"}]', "[3]", "[{}]"])
def test_a_damaged_index_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    assert declared(lambda: REAL, loaded) is not None
    (file,) = (tmp_path / "declarations").glob("*.json")
    file.write_text(content)
    found = declared(lambda: REAL, loaded)
    assert found is not None
    assert "lime" in found["explainer"]


def test_an_index_that_no_component_can_be_made_of_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A need that only importing the component makes known; components are imported then."""
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    assert declared(lambda: REAL, loaded) is not None
    (file,) = (tmp_path / "declarations").glob("*.json")
    records = json.loads(file.read_text())
    records[0]["declared"]["needs"]["frozenset"].append("made_known_later")
    file.write_text(json.dumps(records))
    assert declared(lambda: REAL, loaded) is None


def test_without_a_cache_or_sources_components_are_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XAIBENCH_CACHE", str(blocked / "below"))
    assert declared(lambda: REAL, loaded) is None
    monkeypatch.setattr(declaration_index, "package_digest", lambda: None)
    assert declared(lambda: REAL, loaded) is None


def test_old_indexes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    for i in range(declaration_index.FILES + 3):
        monkeypatch.setattr(declaration_index, "package_digest", lambda i=i: f"{i:032}")
        declared(lambda: REAL[:2], loaded)
    assert len(list((tmp_path / "declarations").glob("*.json"))) == declaration_index.FILES


def test_any_edit_of_the_package_changes_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    (package / "below").mkdir(parents=True)
    (package / "below" / "one.py").write_text("x = 1\n")
    monkeypatch.setattr(sources, "PACKAGE", package)
    digest = sources.package_digest.__wrapped__
    seen = [digest()]
    assert digest() == seen[0]
    (package / "below" / "one.py").write_text("x = 2\n")
    seen.append(digest())
    (package / "two.py").write_text("")
    seen.append(digest())
    (package / "two.py").rename(package / "three.py")
    seen.append(digest())
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    "value", [None, 1, 1.0, True, "x", (1, 2.5), [1, (2,)], {"a": (1,)}, frozenset({"a", "b"}), ((), None), {}]
)
def test_values_come_back_as_they_were(value: Any) -> None:
    found = value_from_json(json.loads(json.dumps(value_to_json(value))))
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("value", [object(), np.zeros(2), float("nan"), {1: 2}, lambda: None])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(NotPlainError):
        value_to_json(value)


def test_hints_with_validators_of_their_own_are_refused() -> None:
    with pytest.raises(NotPlainError):
        hint_to_json(pydantic.AfterValidator)
    assert hint_from_json(hint_to_json(tuple[int, ...] | None)) == tuple[int, ...] | None


def test_plugins_are_known_beside_the_index_and_may_not_take_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = {kind: {s.name: in_index(s) for s in REAL if s.kind == kind} for kind in KINDS}
    monkeypatch.setattr(registry, "_loaded", set())
    monkeypatch.setattr(registry, "_index", [index])
    monkeypatch.setattr(registry, "_registry", {kind: {} for kind in KINDS})
    file = tmp_path / "own_parts.py"
    file.write_text(
        "import xaibench as xb\n"
        "@xb.explainer('only_here', kind='slope')\n"
        "def only_here(problem):\n    return problem.inputs\n"
    )
    before = deferring.set(True)
    try:
        registry.load_module(str(file))
        names = {spec.name for spec in registry.components("explainer")}
        assert {"only_here", "lime"} <= names
        assert isinstance(registry.get("explainer", "lime").function, declaration_index.DeferredFunction)
        with pytest.raises(UsageError) as error:
            registry.get("explainer", "lmie")
        assert (error.value.hint or "").startswith("did you mean 'lime'")
        other = tmp_path / "twice.py"
        other.write_text(
            "import xaibench as xb\n"
            "@xb.explainer('saliency', kind='slope')\n"
            "def mine(problem):\n    return problem.inputs\n"
        )
        registry.load_module(str(other))
        with pytest.raises(UsageError, match="two explainers are called 'saliency'"):
            registry.get("explainer", "gradient")
    finally:
        deferring.reset(before)


@pytest.mark.exhaustive  # two processes of their own, eight seconds: here everything has been imported
def test_files_are_known_as_data_where_imports_are_deferred(tmp_path: Path) -> None:
    code = """
from xaibench.core import registry
from xaibench.core.deferring import deferring
from xaibench.datasets.certify.base import base_reference
deferring.set(True)
registry.get("dataset", "breast_cancer")
print(base_reference("loans.csv", None), base_reference("series.npz", None), base_reference("breast_cancer", None))
"""
    environment = {**os.environ, "XAIBENCH_CACHE": str(tmp_path)}
    for _ in range(2):  # the first one makes the index
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert found.stdout.split() == ["file:=loans.csv", "file:=series.npz", "breast_cancer"], found.stderr
