"""Numpydoc docstrings as Markdown: sections become headings, their entries definition lists."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

LISTED = ("Parameters", "Attributes", "Returns", "Raises")


@dataclass
class Entry:
    """A parameter, attribute, return value or error: names, type, and what is said of it."""

    names: list[str]
    kind: str
    text: str


@dataclass
class Docstring:
    """Text before the first section, entries of the listed sections, and the text of all others."""

    text: str = ""
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    def described(self, section: str) -> dict[str, str]:
        """What a section says, by name."""
        return {name: e.text for e in self.entries.get(section, []) for name in e.names}


def parse(docstring: str | None) -> Docstring:
    """Take a docstring apart."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    heads = [i for i in range(len(lines) - 1) if lines[i].strip() and re.fullmatch(r"-{3,}", lines[i + 1])]
    found = Docstring(text="\n".join(lines[: heads[0]] if heads else lines).strip())
    for head, end in zip(heads, [*heads[1:], len(lines)], strict=False):
        name, body = lines[head].strip(), lines[head + 2 : end]
        if name in LISTED:
            found.entries[name] = _entries(body)
        else:
            found.others[name] = "\n".join(body).strip()
    return found


def _entries(body: list[str]) -> list[Entry]:
    entries: list[Entry] = []
    texts: list[list[str]] = []
    for line in body:
        if line.strip() and not line.startswith(" "):
            names, _, kind = line.partition(" : ")
            entries.append(Entry([n.strip() for n in names.split(",")], kind.strip(), ""))
            texts.append([])
        elif texts:
            texts[-1].append(line)
    for entry, text in zip(entries, texts, strict=True):
        entry.text = inspect.cleandoc("\n".join(text))
    return entries


def cell(text: object) -> str:
    """Text for a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows)])
