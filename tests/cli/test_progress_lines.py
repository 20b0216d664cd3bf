"""Lines of progress count problems, also those that a run visits although their cells are cached (races)."""

from __future__ import annotations

from io import StringIO
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from xaibench.cli.progress import Lines


def test_no_problem_has_a_number_above_their_count() -> None:
    text = StringIO()
    lines = Lines(Console(file=text, width=200))
    facts: Any = SimpleNamespace(gates=(), n_functions=None)
    for name in ("a", "b", "c"):  # nothing was announced as left to run
        problem: Any = SimpleNamespace(key=name, name=name, seed=0, selection="")
        lines.preparing(problem)
        lines.prepared(problem, facts)
    assert [line[:5] for line in text.getvalue().splitlines()] == ["[1/1]", "[2/2]", "[3/3]"]
