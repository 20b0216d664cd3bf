"""Terms of the glossary, as text for the terminal: what `xaibench show TERM` prints."""

from __future__ import annotations

import re
from functools import cache

from xaibench.core.storage.paths import shipped

_ENTRY = re.compile(r"^(\*\*.+)\n((?::?   .*\n?)+)", flags=re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")


@cache
def glossary() -> dict[str, str]:
    """Entries of ``docs/glossary.md`` by term, in lower case; terms that are explained together share one.

    Returns
    -------
    dict of str to str
        Plain text, links and marks removed: the terms, and below them what they mean. Empty where the page is
        not installed.

    Examples
    --------
    >>> from xaibench.report.glossary import glossary
    >>> print(glossary()["background"])
    Background
      Reference samples from the training data, which stand for the data as a whole.
    """
    page = shipped("docs") / "glossary.md"
    if not page.is_file():
        return {}
    found: dict[str, str] = {}
    for head, body in _ENTRY.findall(page.read_text(encoding="utf-8") + "\n"):
        meaning = " ".join(line.removeprefix(":").strip() for line in body.splitlines())
        entry = f"{_plain(head)}\n  {_plain(meaning)}"
        for term in re.findall(r"\*\*(.+?)\*\*", head):
            found[_plain(term).lower()] = entry
    return found


def _plain(text: str) -> str:
    """Text without the marks of Markdown."""
    return re.sub(r"[*`]", "", _LINK.sub(r"\1", text))
