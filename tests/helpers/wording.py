"""Wordings that texts of this project avoid, as regular expressions with what to write instead.

The one list: the module `test_wording` holds it against command help, messages, docstrings, pages and suites.
"""

from __future__ import annotations

import re

_NOT_COMPARED = r"(?!(?:better|worse|longer|more|fewer|less|larger|smaller|one|other|such|two)\b)"

WORDINGS: dict[str, str] = {
    rf"(?<!there )(?<!it )\b(?:is|are) no {_NOT_COMPARED}[a-z]+": "is not a, are not",
    r"\bcannot be had\b": "is unavailable, cannot be combined with",
    r"\banew\b": "again, recomputed, or a name of the fresh thing",
    r"\b(?:anybody|nobody)\b": "any caller, anyone, no one",
    r"\bwhoever\b": "anyone who, or who it is",
    r"\bthe house\b": "the project, the package",
    r"\b(?:told|tell(?:s|ing)?)(?: [\w-]+){0,5} apart\b": "separated by a test, distinguished",
    r"\b(?:was|were|is|are|be) kept\b(?! (?:out|in memory))": "stored, cached, selected, not masked",
    r"\bthere already\b": "already exists, already stored, cached",
    r"\bmend(?:s|ed)?\b": "correct, fix",
    r"\bpromises? too much\b": "too optimistic",
    r"\btouch(?:es)? nothing\b": "does not run or write anything",
    r"\bask(?:s)? nobody\b": "no interpreter is run",
    r"\bsound file\b": "undamaged file",
    r"\bon trial\b": "audited, tested",
    r"\b(?:any|other|the|same) company\b": "the other samples in the batch",
    r"\b(?:its|their) kin\b": "similar ones",
    r"\ban own\b": "of ours, of its own",
    r"\bby a hair\b": "narrowly",
    r"\bbe had\b": "needed, available",
    r"\bwork(?:s|ed|ing)? (?:\w+ )?off\b": "run",
    r"\bless the (?=mean|output|largest|smallest|log|squared|share|number)": "minus the",
}
"""Regular expression, not sensitive to case, to what to write instead."""

_PATTERNS = {re.compile(pattern, re.IGNORECASE): instead for pattern, instead in WORDINGS.items()}


def found_wordings(text: str) -> list[str]:
    """What of the list stands in a text: the place, and what to write instead; code in backticks is left out."""
    prose = re.sub(r"``.*?``|`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
    prose = re.sub(r"\s+", " ", prose)
    return [
        f"...{prose[max(0, m.start() - 30) : m.end() + 30]}...: write {instead}"
        for pattern, instead in _PATTERNS.items()
        for m in pattern.finditer(prose)
    ]
