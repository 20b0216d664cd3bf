"""Files of users: what they may import, and that an edit of any of it is noticed, in keys and in the code that runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import pytest

from xaibench.core import registry
from xaibench.core.components import MetricSpec
from xaibench.core.errors import UsageError
from xaibench.core.source_files import imported_files, is_installed, source_of

METRIC = """
import xaibench as xb
{imports}
@xb.metric("{name}", family="complexity", higher_is_better=False, bounds=(0, None))
def total(ev):
    '''Total.'''
    {local}
    return helper.total(ev.attributions)
"""


def write(folder: Path, *, factor: int = 1, name: str = "own_total", lazy: bool = False) -> Path:
    """``mine.py`` with a metric whose formula is in ``helper.py``, which takes a number from ``parts/numbers.py``."""
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    (folder / "parts" / "numbers.py").write_text(f"FACTOR = {factor}\n")
    (folder / "helper.py").write_text(
        "from parts.numbers import FACTOR\ndef total(a):\n    return FACTOR * a.abs().sum(1)\n"
    )
    imports, local = ("", "import helper") if lazy else ("import helper", "")
    (folder / "mine.py").write_text(METRIC.format(imports=imports, local=local, name=name))
    return folder / "mine.py"


def found(file: Path, name: str = "total") -> MetricSpec:
    return cast(MetricSpec, registry.get("metric", f"{file}:{name}"))


class _Maps:
    """What the metric needs of an evaluation."""

    def __init__(self) -> None:
        import torch

        self.attributions = torch.ones(2, 3)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_file_imports_modules_beside_it_and_nobody_else_does(tmp_path: Path, lazy: bool) -> None:
    spec = found(write(tmp_path, factor=2, lazy=lazy))
    assert spec.function(_Maps()).tolist() == [6.0, 6.0]
    assert str(tmp_path) not in sys.path
    assert "helper" not in sys.modules
    assert "parts" not in sys.modules


@pytest.mark.parametrize("lazy", [False, True])
def test_an_edit_of_a_module_that_is_imported_by_an_imported_one_changes_key_and_code(
    tmp_path: Path, lazy: bool
) -> None:
    file = write(tmp_path, lazy=lazy)
    before = found(file)
    write(tmp_path, factor=100, lazy=lazy)
    after = found(file)
    assert before.code_digest != after.code_digest
    assert after.function(_Maps()).tolist() == [300.0, 300.0]
    write(tmp_path, factor=1, lazy=lazy)
    again = found(file)
    assert again.code_digest == before.code_digest
    assert again.function(_Maps()).tolist() == [3.0, 3.0]


def test_what_is_not_imported_plays_no_role(tmp_path: Path) -> None:
    file = write(tmp_path)
    before = found(file)
    (tmp_path / "notes.py").write_text("x = 1\n")
    assert found(file) is before


def test_two_folders_have_modules_of_one_name_each(tmp_path: Path) -> None:
    one, two = (
        found(write(tmp_path / folder, factor=factor, name=f"total_{folder}"))
        for folder, factor in (("a", 2), ("b", 5))
    )
    assert one.function(_Maps()).tolist() == [6.0, 6.0]
    assert two.function(_Maps()).tolist() == [15.0, 15.0]
    assert one.code_digest != two.code_digest


def test_the_same_code_in_another_folder_has_the_same_key(tmp_path: Path) -> None:
    one = found(write(tmp_path / "a", name="one_total")).code_digest
    registry._registry["metric"].pop("one_total")
    assert found(write(tmp_path / "b", name="one_total")).code_digest == one


def test_a_file_imports_from_the_folder_of_the_suite_too(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "lab").mkdir()
    (tmp_path / "mine.py").rename(tmp_path / "lab" / "mine.py")
    spec = registry.get("metric", "lab/mine.py:total", folder=tmp_path)
    before = spec.code_digest
    assert spec.function(_Maps()).tolist() == [3.0, 3.0]
    (tmp_path / "parts" / "numbers.py").write_text("FACTOR = 7\n")
    assert registry.get("metric", "lab/mine.py:total", folder=tmp_path).code_digest != before


def test_a_module_that_imports_relatively_is_followed(tmp_path: Path) -> None:
    package = tmp_path / "kit"
    package.mkdir()
    (package / "__init__.py").write_text("from .core import total\n")
    (package / "core.py").write_text("from . import scale\ndef total(a):\n    return scale.K * a.sum(1)\n")
    (package / "scale.py").write_text("K = 3\n")
    (tmp_path / "mine.py").write_text(METRIC.format(imports="import kit as helper", local="", name="relative_total"))
    names = set(imported_files(tmp_path / "mine.py", [tmp_path]))
    assert names == {"", "kit", "kit.core", "kit.scale"}
    before = found(tmp_path / "mine.py")
    assert before.function(_Maps()).tolist() == [9.0, 9.0]
    (package / "scale.py").write_text("K = 4\n")
    assert found(tmp_path / "mine.py").function(_Maps()).tolist() == [12.0, 12.0]


def test_installed_packages_and_the_standard_library_are_left_out(tmp_path: Path) -> None:
    import json

    import numpy

    (tmp_path / "mine.py").write_text("import json, numpy as np, torch, xaibench\nfrom sklearn import metrics\n")
    assert set(imported_files(tmp_path / "mine.py", [tmp_path])) == {""}
    assert is_installed(Path(numpy.__file__))
    assert is_installed(Path(json.__file__))
    assert not is_installed(tmp_path / "mine.py")


def test_a_module_on_the_path_that_is_not_installed_is_covered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib, lab = tmp_path / "lib", tmp_path / "lab"
    write(lab, name="far_total")
    lib.mkdir()
    (lab / "helper.py").rename(lib / "helper_from_afar.py")
    (lab / "mine.py").write_text(METRIC.format(imports="import helper_from_afar as helper", local="", name="far_total"))
    (lib / "helper_from_afar.py").write_text("def total(a):\n    return a.sum(1)\n")
    monkeypatch.syspath_prepend(lib)
    before = found(lab / "mine.py")
    (lib / "helper_from_afar.py").write_text("def total(a):\n    return 9 * a.sum(1)\n")
    after = found(lab / "mine.py")
    assert before.code_digest != after.code_digest
    assert after.function(_Maps()).tolist() == [27.0, 27.0]
    sys.modules.pop("helper_from_afar")


def test_shipped_components_have_no_source_in_their_keys() -> None:
    for kind in registry.KINDS:
        for spec in registry.components(kind):
            if spec.function.__module__.startswith("xaibench."):
                assert spec.code_digest is None


def test_functions_without_a_file_are_known_by_what_they_do() -> None:
    def made(code: str) -> str | None:
        space: dict[str, object] = {"__name__": "nowhere"}
        exec(code, space)
        return source_of(space["f"])

    first = made("def g(x):\n    return x + 1\ndef f(x):\n    return g(x)\n")
    assert first == made("def g(x):\n    return x + 1\n\n\ndef f(x):\n    return g(x)\n")
    assert first != made("def g(x):\n    return x + 2\ndef f(x):\n    return g(x)\n")
    assert first != made("def g(x):\n    return x + 1\ndef f(x):\n    return -g(x)\n")
    assert made("k = 1\ndef f(x):\n    return k * x\n") != made("k = 2\ndef f(x):\n    return k * x\n")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "import nothing_of_the_kind\n",
            r"ModuleNotFoundError: No module named 'nothing_of_the_kind' \(bad.py, line 1\)",
        ),
        ("x = 1\nraise SystemExit(7)\n", r"SystemExit: 7 \(bad.py, line 2\)"),
        ("def f(:\n", r"SyntaxError: .* \(bad.py, line 1\)"),
        ("x = {}\nx['income']\n", r"KeyError: 'income' \(bad.py, line 2\)"),
        ("raise ValueError('y' * 5000)\n", r"ValueError: y{240,270}\.\.\. \(bad.py, line 1\)"),
    ],
)
def test_a_file_that_fails_says_where(tmp_path: Path, code: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(UsageError, match=message):
        registry.load_module(str(tmp_path / "bad.py"))
    assert not [n for n in sys.modules if n.endswith(".bad")]


def test_a_folder_is_not_a_plugin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder, not a Python file"):
        registry.load_module(str(tmp_path))


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path)
    assert registry.get("metric", "~/mine.py:total").function(_Maps()).tolist() == [3.0, 3.0]


def test_a_renamed_function_takes_the_name_over(tmp_path: Path) -> None:
    file = write(tmp_path)
    found(file)
    file.write_text(file.read_text().replace("def total", "def sum_of_all"))
    assert found(file, "sum_of_all").name == "own_total"


@pytest.mark.parametrize(
    ("code", "message", "hint"),
    [
        ("@xb.explainer('w', kind='attribution')", "kind='attribution' is not known", "contribution"),
        ("@xb.metric('w', family='speed', higher_is_better=True)", "family='speed' is not known", "robustness"),
        ("@xb.metric('w', family='faithfullness', higher_is_better=True)", "is not known", "mean 'faithfulness'"),
        ("@xb.dataset('w', features='tabular')", "features='tabular' is not known", "did you mean 'table'"),
        ("@xb.metric('w', family='sanity', higher_is_better=True, bounds=(1, 0))", "not a lower and an upper", ""),
        ("@xb.metric('w', family='sanity', higher_is_better=True, accepts={'slopes'})", "accepts='slopes'", "slope"),
        ("@xb.metric('w', family='sanity', higher_is_better=True, aggregate='median')", "='median'", "median_log10"),
        ("@xb.metric('w', family='sanity', higher_is_better=True, scope='samples')", "scope='samples'", "sample"),
        ("@xb.metric('w', family='sanity', higher_is_better=True, output='logits')", "output='logits'", "logit"),
        ("@xb.model('w', features={'tables'})", "features='tables'", "table"),
        ("@xb.dataset('w', features='table', provides={'truth.masks'})", "provides='truth.masks'", "truth.mask"),
        ("@xb.explainer('w', kind='slope', version='1.0')", "version='1.0' is not a whole number", "count"),
        ("@xb.explainer('', kind='slope')", "cannot be called ''", "name"),
    ],
)  # fmt: skip
def test_wrong_declarations_are_refused(tmp_path: Path, code: str, message: str, hint: str) -> None:
    file = tmp_path / "w.py"
    file.write_text(f"import xaibench as xb\n{code}\ndef w(*a, **k):\n    '''W.'''\n")
    with pytest.raises(UsageError) as error:
        registry.load_module(str(file))
    assert message in error.value.message
    assert hint in (error.value.hint or "")
