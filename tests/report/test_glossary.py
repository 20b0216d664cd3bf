"""The glossary explains the words that boards and messages use, and `xaibench show TERM` prints them."""

from __future__ import annotations

import re

import pytest
from helpers.command_line import Call

from xaibench.report.glossary import glossary

_WORDS = (
    "problem unit cell case suite run store shard seed draw plugin selection fingerprint key cached stale open "
    "exclusion explainer interpreter attribution kind conversion feature slot context control placebo oracle masker "
    "baseline background output asked_output needs metric family construct truth distractor gate scope "
    "undefined unsupported entry value interval estimand skill claim margin regression delta audit trust agreement"
)
TERMS = [
    *_WORDS.split(),
    "relative rank",
    "overall rank",
    "common ground",
    "rank interval",
    "tie group",
    "win rate",
    "alone",
]


@pytest.mark.parametrize("term", TERMS)
def test_every_term_has_an_entry(term: str) -> None:
    entry = glossary()[term]
    head, _, meaning = entry.partition("\n  ")
    assert term in head.lower()
    assert len(meaning.split()) > 3
    assert not re.search(r"[*`]|\]\(", entry), "marks of Markdown"


def test_every_term_is_explained_once() -> None:
    page = [entry.partition("\n")[0].split(", ") for entry in set(glossary().values())]
    heads = [term.lower() for head in page for term in head]
    assert sorted(heads) == sorted(set(heads))


def test_show_prints_a_term(call: Call) -> None:
    code, out, _ = call("show", "Placebo")
    assert code == 0
    assert out.startswith("Placebo\n  A control that cannot explain")


def test_what_is_not_a_term_either_is_refused_with_the_nearest_one(call: Call) -> None:
    code, _, err = call("show", "placeboo")
    assert code == 2
    assert "'placeboo' is not the name of a component, a masker, a suite or a term" in err
    assert "did you mean 'placebo'" in err
