"""Questions and test inputs of a function in columns, beside what a program says of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from xaibench.core.programs.black_box import BlackBox, Interpretation, run_program

PROBES = 24
WRONG = "<--"


def string_examples(
    box: BlackBox, answer: Interpretation, asked: Sequence[str], answers: Sequence[str], width: int
) -> list[str]:
    """What was asked with the answers, and held-out inputs; an arrow where the program says something else."""
    lines = []
    if asked:
        shown = list(asked)[:PROBES]
        found = run_program(answer.program, shown, "string")[0]
        lines = [*three_columns(("asked", "answer", "program"), (shown, answers[:PROBES], found), width, mark=True)]
        if len(asked) > PROBES:
            lines.append(f"and {len(asked) - PROBES} more")
        lines.append("")
    inputs = list(box.test_inputs)
    wanted, found = (run_program(p, inputs, "string")[0] for p in (box.program, answer.program))
    right = sum(a == b for a, b in zip(wanted, found, strict=True))
    lines += three_columns(("held out", "function", "program"), (inputs, wanted, found), width, mark=True)
    return [*lines, f"{right} of {len(inputs)} right"]


def three_columns(
    head: tuple[str, str, str], columns: Iterable[Iterable[Any]], width: int, *, mark: bool = False
) -> list[str]:
    """Three columns that fit the width, cut where they do not; with a mark where the last two differ.

    Strings that are empty, or begin or end with a space, are quoted.
    """
    rows = [head, *([_cell(value) for value in row] for row in zip(*columns, strict=True))]
    most = (width - 4 - len(WRONG) - 2) // 3
    widths = [min(most, max(len(row[k]) for row in rows)) for k in range(3)]
    lines = []
    for i, row in enumerate(rows):
        cells = [f"{_cut(text, w):<{w}}" for text, w in zip(row, widths, strict=True)]
        wrong = mark and i > 0 and row[1] != row[2]
        lines.append("  ".join([*cells, WRONG if wrong else ""]).rstrip())
    return lines


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, str) and (value != value.strip() or not value):
        return repr(value)
    return str(value)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
