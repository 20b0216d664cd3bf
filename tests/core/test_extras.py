"""Hints on optional dependencies can be pasted into any shell, and name extras that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from xaibench.core.extras import install_command
from xaibench.core.libraries import LIBRARIES

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "xaibench").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]


def test_every_command_is_quoted() -> None:
    """Brackets are patterns in zsh: ``pip install xaibench[ebm]`` fails there."""
    bare = re.compile(r"pip install (?:-\S+ )*[\w.]+\[")
    assert bare.search("pip install xaibench[ebm]")
    assert not bare.search(install_command("ebm"))
    assert [str(file) for file in SOURCES if bare.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("extra", sorted({library.extra for library in LIBRARIES.values()}))
def test_extras_of_libraries_exist(extra: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extra in declared
