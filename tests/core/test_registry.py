"""Components are found by name, module and file; wrong names and parameters are told clearly."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from xaibench.core import registry
from xaibench.core.declaration_index import built_in
from xaibench.core.errors import UsageError
from xaibench.core.needs import missing_needs


def test_names_are_suggested() -> None:
    with pytest.raises(UsageError, match="unknown explainer 'salency'") as error:
        registry.get("explainer", "salency")
    assert error.value.hint == "did you mean 'saliency' or 'full_grad_saliency' or 'shapley_cam'?"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"step": 3}, "has no parameter 'step'"),
        ({"steps": "many"}, "steps = 'many' is not valid"),
        ({"steps": 1.5}, "steps = 1.5 is not valid"),
    ],
)
def test_parameters_are_checked(params: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.get("explainer", "integrated_gradients").bind(params)


def test_defaults_are_filled_in() -> None:
    bound = registry.get("metric", "pixel_flipping").bind({"steps": 5})
    assert bound == {"steps": 5, "masker": "mean", "group": None, "patch": None}


def test_files_give_components_by_path_and_are_imported_once(plugin: Path) -> None:
    spec = registry.get("explainer", f"{plugin}:weights_times_input")
    assert spec is registry.get("explainer", "weights_times_input")
    assert registry.get("model", "tiny.py:black_box", folder=plugin.parent).name == "tiny.black_box"


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("nowhere.py:x", "there is no file nowhere.py"),
        ("no_such_module:x", "there is no module 'no_such_module'"),
        ("{plugin}:raise", "has no 'raise'"),
        ("{plugin}:black_box", "is not a registered explainer"),
    ],
)
def test_wrong_references(plugin: Path, ref: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.get("explainer", ref.format(plugin=plugin))


def test_a_name_cannot_be_taken_twice(tmp_path: Path) -> None:
    file = tmp_path / "twice.py"
    file.write_text(
        "import xaibench as xb\n"
        "@xb.explainer('saliency', kind='slope')\n"
        "def mine(problem):\n    return problem.inputs\n"
    )
    with pytest.raises(UsageError, match="two explainers are called 'saliency'"):
        registry.load_module(str(file))


def test_a_file_that_cannot_be_imported_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import nothing_of_the_kind\n")
    with pytest.raises(UsageError, match="cannot be imported: ModuleNotFoundError"):
        registry.load_module(str(file))


def test_needs() -> None:
    assert missing_needs({"gradients", "image"}, {"gradients", "table"}) == ["image"]
    assert missing_needs({"image", "series"}, {"series"}) == []
    assert missing_needs({"truth"}, {"truth.weights"}) == []
    assert missing_needs({"truth.mask"}, {"truth.weights"}) == ["truth.mask"]
    with pytest.raises(UsageError, match="needs unknown 'gradient'"):
        registry.explainer("typo", kind="slope", needs={"gradient"})(lambda problem: problem.inputs)


def test_nothing_else_is_needed_to_be_listed() -> None:
    for kind in registry.KINDS:
        for spec in filter(built_in, registry.components(kind)):
            assert spec.summary.endswith((".", "?")), f"{kind} {spec.name} has no one-line summary"
            lacking = [n for n, default in spec.parameters.items() if default is inspect.Parameter.empty]
            if lacking:
                with pytest.raises(UsageError, match=f"needs a value for '{lacking[0]}'"):
                    spec.bind({})
            else:
                assert spec.bind({}) == spec.parameters


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(UsageError, match="not"):
        registry.get("metric", "max_sensitivity").bind({"radius": value})
    with pytest.raises(UsageError, match="finite number"):
        registry.get("metric", "input_invariance").bind({"shift": value})
