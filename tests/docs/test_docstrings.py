"""Examples in the docstrings of public names run, and every public function and class has one."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import xaibench as xb

SLOW = {
    "Certification",
    "Run",
    "agreement",
    "audit",
    "certify",
    "claims",
    "compare",
    "leaderboard",
    "report",
    "results",
    "run",
}
"""Their examples run a suite, and train its model."""
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in xb.__all__]
)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = getattr(xb, name)
    found = doctest.DocTestFinder(recurse=False).find(shown, name, globs={})
    examples = [test for test in found if test.examples]
    assert examples, f"xb.{name} has no example"
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in examples:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
