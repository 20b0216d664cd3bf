"""Neurons over words and relations as text: what was answered, and held-out words beside what the program says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xaibench.analysis.program_comparison import held_out_comparison, program_outputs, same_side
from xaibench.core.programs.black_box import BlackBox, Interpretation
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
        found = program_outputs(box, answer, [word for word, _ in shown])
        rows = [(word, level, own) for (word, level), own in zip(shown, found, strict=True)]
        lines += _levels(("asked, loudest first", "answer", "program"), rows)
        if len(ranked) > LOUDEST:
            lines.append(f"and {len(ranked) - LOUDEST} quieter ones")
        lines.append("")
    guesses = answer.facts.get("guesses", ())
    if guesses:
        lines += ["AUROC on the answers", *(f"  {g['auroc']:.3f}  {g['text']}"[:width] for g in guesses), ""]
    test = held_out_comparison(box, answer)
    levels = zip(test.inputs, map(float, test.wanted), map(float, test.found), strict=True)
    lines += _levels(("held out", "neuron", "program"), sorted(levels, key=lambda row: (-row[1], row[0])))
    return [*lines, f"{test.n_right} of {len(test.inputs)} on the right side of 0.5"]


def relation_lines(
    box: BlackBox, answer: Interpretation, asked: Sequence[str], answers: Sequence[str], width: int
) -> list[str]:
    """Questions that had an answer, and held-out things; an arrow where the program says something else."""
    told = [(x, y) for x, y in zip(asked, answers, strict=True) if y != "undefined"]
    lines = []
    if asked:
        found = program_outputs(box, answer, [x for x, _ in told])
        lines += three_columns(
            ("asked", "answer", "program"), ([x for x, _ in told], [y for _, y in told], found), width, mark=True
        )
        lines += [f"and {len(asked) - len(told)} undefined ones", ""]
    test = held_out_comparison(box, answer)
    lines += three_columns(
        ("held out", "relation", "program"), (test.inputs, test.wanted, test.found), width, mark=True
    )
    return [*lines, f"{test.n_right} of {len(test.inputs)} right"]


def _levels(head: tuple[str, str, str], rows: Sequence[tuple[str, float, float]]) -> list[str]:
    """Words with bars of two levels."""
    size = max(len(text) for text in (head[0], *(word for word, *_ in rows)))
    lines = [f"{head[0]:<{size}}  {head[1]:<{BAR + 5}}  {head[2]}"]
    for word, a, b in rows:
        mark = "" if same_side(a, b) else f"  {WRONG}"
        lines.append(f"{word:<{size}}  {_bar(a)}  {_bar(b)}{mark}".rstrip())
    return lines


def _bar(level: float) -> str:
    if math.isnan(level):
        return f"{'?':<{BAR + 5}}"
    return f"{level:4.2f} {'#' * round(BAR * min(max(level, 0.0), 1.0)):<{BAR}}"
