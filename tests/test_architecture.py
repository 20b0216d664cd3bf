"""The package is built as its plan says: what things are called, where they are, and how large files get."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "xaibench"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
GONE = frozenset(
    {
        "COLUMNS", "Choice", "Course", "Desk", "Fatal", "LEVEL", "Lost", "Maps", "Panel", "Parcels", "Prepared",
        "ROUNDING", "Settled", "Side", "Stranded", "Trial", "VERSION", "Workbench", "Workplace", "_Kept", "_Open",
        "_Run", "about", "alone", "clean", "hold_finite", "judge", "life_of", "lineage", "place", "plain", "said",
        "settle", "told_apart", "visible",
    }
)  # fmt: skip
"""Functions, classes and constants that no reader of scikit-learn and a statistics textbook could guess."""
MODULES_GONE = frozenset(
    {
        "asking", "copies", "explained", "fields", "given", "hidden", "kept", "past", "players", "sides", "standing",
        "turning",
    }
)  # fmt: skip
"""Names of modules that tell nobody what is inside."""
WRAPPERS = frozenset(
    {
        "Problem", "agreement", "audit", "certify",
        "claims", "compare", "components", "curve", "explain", "leaderboard", "merge",
        "overall", "pairwise", "recommend", "report", "run", "score",
    }
)  # fmt: skip
"""A command, the function or class of the API behind it, and what does the work."""


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def _registered(node: ast.stmt) -> bool:
    """Whether a component is registered: its function has the component's name, and its kind tells it from others."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(isinstance(d, ast.Call) and isinstance(d.func, ast.Name) for d in decorators)


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _definitions() -> dict[str, list[str]]:
    """Files by the names that they define at their top level, components of the registry apart."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for node in _tree(file).body:
            if not _registered(node):
                for name in _names(node):
                    found[name].append(str(file.relative_to(PACKAGE)))
    return found


def test_names_that_nobody_could_guess_are_gone() -> None:
    methods = {
        node.name: f"{file.relative_to(PACKAGE)}:{node.lineno}"
        for file in FILES
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert not {name: where for name, where in methods.items() if name in GONE}
    assert not GONE & set(_definitions())
    assert not [f for f in FILES if f.stem in MODULES_GONE]


def test_no_public_name_stands_for_two_things() -> None:
    twice = {
        name: sorted(set(files))
        for name, files in _definitions().items()
        if len(set(files)) > 1 and not name.startswith("_") and name not in WRAPPERS | {"main"}
    }
    assert not twice


def test_wrappers_are_a_command_its_api_and_what_does_the_work() -> None:
    for name in WRAPPERS:
        rooms = sorted({file.partition("/")[0] for file in _definitions()[name]})
        assert len(rooms) == len(_definitions()[name]) <= 3, f"{name} in {_definitions()[name]}"


def test_no_file_is_too_long() -> None:
    long = {str(f): n for f in FILES if (n := f.read_text(encoding="utf-8").count("\n")) > MAX_LINES}
    assert not long


def test_every_module_says_what_is_inside() -> None:
    silent = [
        str(file.relative_to(PACKAGE))
        for file in FILES
        if not re.match(r".{16,}[.:?]$", (ast.get_docstring(_tree(file)) or "").partition("\n")[0])
    ]
    assert not silent


def test_kinds_of_cases_are_registered_where_every_command_sees_them() -> None:
    """Commands that compute nothing read declarations without importing components, and so must know their kinds."""
    calls = [
        file.relative_to(PACKAGE).as_posix()
        for file in FILES
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("register_case_kind")
    ]
    assert calls == ["core/cases/kinds.py"]
