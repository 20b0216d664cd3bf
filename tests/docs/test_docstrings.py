"""Examples in the docstrings of public names run, and every public function and class has one."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import xaibench as xb
from xaibench.core import registry

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


@pytest.fixture
def _restored_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components of examples are forgotten."""
    for kind, table in registry._registry.items():
        registry._ensure_loaded(kind)
        monkeypatch.setitem(registry._registry, kind, dict(table))


@pytest.mark.usefixtures("_restored_registry")
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
