"""Pages of the documentation: those in the repository, and those that are made from the code."""

from __future__ import annotations

import importlib
import re
import sys
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
HOOKS = DOCS / "hooks"
FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def hook(name: str) -> object:
    """A module of the documentation's hooks."""
    if str(HOOKS) not in sys.path:
        sys.path.append(str(HOOKS))
    return importlib.import_module(name)


@cache
def pages() -> dict[Path, str]:
    """Markdown of every page by its path, generated ones included, and of the files beside the README."""
    found = {p: p.read_text(encoding="utf-8") for p in (*DOCS.rglob("*.md"), *TOP.glob("*.md"))}
    made: dict[str, str] = hook("reference_pages").pages()  # type: ignore[attr-defined]
    return found | {DOCS / path: text for path, text in made.items()}


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, options and text of the fenced blocks of a page below docs."""
    return FENCE.findall((DOCS / page).read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", text), flags=re.MULTILINE):
        explicit = re.search(r"\{ *#([\w-]+) *\}", heading)
        plain = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
        found.add(explicit.group(1) if explicit else re.sub(r"[-\s]+", "-", plain))
    return found
