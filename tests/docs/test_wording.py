"""Texts avoid the wordings of `helpers.wording`: command help, messages, docstrings, pages, suites, the report."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from helpers.documentation import DOCS, TOP
from helpers.wording import found_wordings
from typer.main import get_command

from xaibench import suite as suites
from xaibench.cli.app import app

PACKAGE = TOP / "xaibench"
ROOMS = sorted(p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file())
PROMPTS = "functions/llm/protocol.py"
"""What a language model is told: another wording would be another interpreter."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(TOP / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "results/README.md")),
    *sorted((PACKAGE / "report" / "html" / "templates").glob("*.html")),
]


@cache
def _texts(path: Path) -> tuple[tuple[int, str, bool], ...]:
    """Line, text and whether it is a docstring, of every string of a module; fields of f-strings become ``X``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bodies = [n.body for n in ast.walk(tree) if isinstance(n, DOCUMENTED)]
    documentation = {
        id(e.value) for body in bodies for e in body if isinstance(e, ast.Expr) and isinstance(e.value, ast.Constant)
    }
    joined = [n for n in ast.walk(tree) if isinstance(n, ast.JoinedStr)]
    parts = {id(v) for n in joined for v in n.values}
    found = [
        (n.lineno, "".join(v.value if isinstance(v, ast.Constant) else "X" for v in n.values), False) for n in joined
    ]
    for n in ast.walk(tree):
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in parts:
            found.append((n.lineno, n.value, id(n) in documentation))
    return tuple(found)


def _modules(room: str) -> list[Path]:
    return [p for p in sorted((PACKAGE / room).rglob("*.py")) if not p.as_posix().endswith(PROMPTS)]


def _problems(paths: list[Path], *, docstrings: bool) -> Iterator[str]:
    for path in paths:
        for line, text, documentation in _texts(path):
            if documentation == docstrings:
                yield from (f"{path.relative_to(TOP)}:{line}: {problem}" for problem in found_wordings(text))


def test_the_list_finds_what_it_is_for() -> None:
    assert len(found_wordings("'x' is no shard, and files are there already; nobody is told apart")) == 4
    assert not found_wordings("there is no store; it is no better; files that `is no` quotes")
    assert found_wordings("-j 3 is no\n    number")
    strings = _texts(Path(__file__))
    assert any("is no shard" in text for _, text, _ in strings)


@pytest.mark.parametrize("room", ROOMS)
def test_messages_and_other_strings_are_plain(room: str) -> None:
    assert not list(_problems(_modules(room), docstrings=False))


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_are_plain(room: str) -> None:
    assert not list(_problems(_modules(room), docstrings=True))


def test_command_help_is_plain_and_in_sentences() -> None:
    commands = dict(get_command(app).commands)  # type: ignore[attr-defined]
    commands |= {f"data {name}": c for name, c in commands.pop("data").commands.items()}
    assert len(commands) > 10
    for name, command in commands.items():
        assert command.help, name
        assert not found_wordings(command.help), name
        for parameter in command.params:
            text = getattr(parameter, "help", None) or ""
            place = f"{name} {parameter.name}"
            assert not found_wordings(text), place
            if parameter.name != "help":
                assert len(text.split()) > 2, place
                assert text[0].isupper(), place
                assert text.rstrip("]")[-1] in ".;" or text.endswith("]"), place


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(TOP).as_posix())
def test_pages_are_plain(page: Path) -> None:
    assert not found_wordings(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(suites.available()))
def test_descriptions_and_claims_of_suites_are_plain(name: str) -> None:
    suite = suites.load(name)
    assert not found_wordings(suite.description)
    assert [p for c in suite.all_claims() for p in found_wordings(c.statement)] == []
