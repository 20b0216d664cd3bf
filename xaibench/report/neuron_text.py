"""Neurons over words and relations as text: what was answered, and held-out words beside what the program says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xaibench.core.programs.black_box import BlackBox, Interpretation, run_program
from xaibench.report.function_tables import WRONG, three_columns

LOUDEST = 12
BAR = 10


def neuron_lines(
    box: BlackBox, answer: Interpretation, asked: Sequence[str], answers: Sequence[float], width: int
) -> list[str]:
    """The words that were answered highest, rival guesses, held-out words; an arrow where sides of 0.5 differ."""
    lines = []
    if asked:
        ranked = sorted(zip(asked, map(float, answers), strict=True), key=lambda p: (-p[1], p[0]))
        shown = ranked[:LOUDEST]
        found = run_program(answer.program, [word for word, _ in shown], box.kind)[0]
        rows = [(word, level, own) for (word, level), own in zip(shown, found, strict=True)]
        lines += _levels(("asked, loudest first", "answer", "program"), rows)
        if len(ranked) > LOUDEST:
            lines.append(f"and {len(ranked) - LOUDEST} quieter ones")
        lines.append("")
    guesses = answer.facts.get("guesses", ())
    if guesses:
        lines += ["AUROC on the answers", *(f"  {g['auroc']:.3f}  {g['text']}"[:width] for g in guesses), ""]
    inputs = list(box.test_inputs)
    wanted, found = (run_program(p, inputs, box.kind)[0] for p in (box.program, answer.program))
    rows = sorted(zip(inputs, map(float, wanted), map(float, found), strict=True), key=lambda row: (-row[1], row[0]))
    right = sum(_agree(a, b) for _, a, b in rows)
    lines += _levels(("held out", "neuron", "program"), rows)
    return [*lines, f"{right} of {len(rows)} on the right side of 0.5"]


def relation_lines(
    box: BlackBox, answer: Interpretation, asked: Sequence[str], answers: Sequence[str], width: int
) -> list[str]:
    """Questions that had an answer, and held-out things; an arrow where the program says something else."""
    told = [(x, y) for x, y in zip(asked, answers, strict=True) if y != "undefined"]
    lines = []
    if asked:
        found = run_program(answer.program, [x for x, _ in told], box.kind)[0]
        lines += three_columns(
            ("asked", "answer", "program"), ([x for x, _ in told], [y for _, y in told], found), width, mark=True
        )
        lines += [f"and {len(asked) - len(told)} undefined ones", ""]
    inputs = list(box.test_inputs)
    wanted, found = (run_program(p, inputs, box.kind)[0] for p in (box.program, answer.program))
    right = sum(a == b for a, b in zip(wanted, found, strict=True))
    lines += three_columns(("held out", "relation", "program"), (inputs, wanted, found), width, mark=True)
    return [*lines, f"{right} of {len(inputs)} right"]


def _levels(head: tuple[str, str, str], rows: Sequence[tuple[str, float, float]]) -> list[str]:
    """Words with bars of two levels."""
    size = max(len(text) for text in (head[0], *(word for word, *_ in rows)))
    lines = [f"{head[0]:<{size}}  {head[1]:<{BAR + 5}}  {head[2]}"]
    for word, a, b in rows:
        mark = "" if _agree(a, b) else f"  {WRONG}"
        lines.append(f"{word:<{size}}  {_bar(a)}  {_bar(b)}{mark}".rstrip())
    return lines


def _bar(level: float) -> str:
    if math.isnan(level):
        return f"{'?':<{BAR + 5}}"
    return f"{level:4.2f} {'#' * round(BAR * min(max(level, 0.0), 1.0)):<{BAR}}"


def _agree(a: Any, b: Any) -> bool:
    return not math.isnan(b) and (a > 0.5) == (b > 0.5)
