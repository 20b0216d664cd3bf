"""Papers that the source of a claim names: authors and year."""

from __future__ import annotations

import re

_NAME = r"[A-ZÀ-Þ][\w'’-]+(?: [A-Z][\w'’-]+)?"
_PAPER = re.compile(rf"({_NAME} et al\.?|{_NAME}(?:, {_NAME})*(?:,? (?:&|and) {_NAME})?),? \(?((?:19|20)\d\d)\)?(?!\d)")


def papers(source: str) -> tuple[str, ...]:
    """Papers in the order in which a source names them, each as ``Authors YEAR``; empty for statements of our own.

    Examples
    --------
    >>> from xaibench.analysis.claims.papers import papers
    >>> papers("after Kim et al. 2018, ICML, and Yang and Kim 2019, BAM: which of two nets relies on what")
    ('Kim et al. 2018', 'Yang & Kim 2019')
    >>> papers("Owen (1972), Multilinear extensions of games; closed form: docs/suites/boolean.md")
    ('Owen 1972',)
    >>> papers("xaibench's own expectation")
    ()
    """
    found = [f"{who.replace(' and ', ' & ')} {year}" for who, year in _PAPER.findall(source)]
    return tuple(dict.fromkeys(found))
