"""A case and an answer about it as text: what is scored, the truth, and the answer beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xaibench.analysis.case_comparison import compare_units
from xaibench.core.cases.answers import CaseAnswer
from xaibench.core.cases.case import Case

UNITS_SHOWN = 12
BAR_WIDTH = 12


@dataclass(frozen=True)
class ShownCase:
    """What is drawn.

    Attributes
    ----------
    case : Case
    explainer : str
    answer : Scores or Dictionary
    """

    case: Case
    explainer: str
    answer: CaseAnswer


def case_text(shown: ShownCase, width: int) -> str:
    """The case with its gates, then the units with the largest true scores, the answer and its order beside them.

    Of a case with several questions the first one is shown; of a dictionary, how near its directions come
    to the true ones.
    """
    case, answer = shown.case, shown.answer
    lines = [case.name, f"kind: {case.kind}"]
    lines += [case.description] if case.description else []
    lines += [f"gate {gate}" for gate in case.gates]
    counts = [f"{len(case.units)} units"] if case.units else []
    counts += [f"{len(case.questions)} questions" if case.questions else ""]
    lines += [", ".join(c for c in counts if c)] if any(counts) else []
    lines += ["", f"{shown.explainer}: {answer.queries} runs of the model"]
    if answer.failure:
        return "\n".join([*lines, f"no answer: {answer.failure}"])
    found = compare_units(case, answer)
    if case.questions:
        lines += ["", f"question 1 of {len(case.questions)}: {case.questions[0]}"]
    names = [name[: max(width - 48, 8)] for name in found.names]
    size = max(len(name) for name in (*names[:UNITS_SHOWN], *names[-1:], "unit"))
    lines += ["", f"{'unit':<{size}}  {'truth':<{BAR_WIDTH + 10}}  {'answer':>9}  place"]
    largest = max((abs(t) for t in found.truth), default=0.0) or 1.0
    chosen = list(range(min(UNITS_SHOWN, len(names)))) + ([len(names) - 1] if len(names) > UNITS_SHOWN else [])
    for i in chosen:
        bar = "#" * round(BAR_WIDTH * abs(found.truth[i]) / largest)
        level = "-" if math.isnan(found.answer[i]) else f"{found.answer[i]:.3g}"
        lines.append(f"{names[i]:<{size}}  {found.truth[i]:>9.3g} {bar:<{BAR_WIDTH}}  {level:>9}  {found.place[i]:>5}")
        if i == UNITS_SHOWN - 1 and len(names) > UNITS_SHOWN:
            lines.append("...")
    return "\n".join(lines)
