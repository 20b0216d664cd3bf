"""A function beside what an interpreter says of it: text for the terminal, or a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xaibench.core.errors import UnsupportedError
from xaibench.core.programs.black_box import BlackBox, Interpretation, Values, run_program
from xaibench.core.types import Array
from xaibench.report.braille import bar, label_width, plot, ticks, y_range
from xaibench.report.function_tables import string_examples
from xaibench.report.neuron_text import neuron_lines, relation_lines

EXAMPLES_BY_KIND: Mapping[str, Callable[..., list[str]]] = {
    "string": string_examples,
    "neuron": neuron_lines,
    "relation": relation_lines,
}
HEIGHT = 10
POINTS = 2048


@dataclass(frozen=True)
class Shown:
    """What is drawn.

    Attributes
    ----------
    box : BlackBox
    interpreter : str
    answer : Interpretation
    asked, answers : list
        Questions in their order, and the function's answers.
    """

    box: BlackBox
    interpreter: str
    answer: Interpretation
    asked: list[Any]
    answers: list[Any]


def function_text(shown: Shown, width: int) -> str:
    """The function with the probes, then the interpreter's answer on the same axes.

    Functions of strings and words are shown by what was asked and by held-out inputs.
    """
    box, answer = shown.box, shown.answer
    truth = [box.name, *_facts(box.family, box.description, box.intervals)]
    if box.noise != "none":
        truth.append(f"noise: {box.noise}")
    said = [
        f"{shown.interpreter}: {answer.queries} questions",
        *_facts(answer.family, answer.description, answer.intervals),
    ]
    if answer.failure:
        said.append(f"no program: {answer.failure}")
    if box.kind != "numeric":
        lines = EXAMPLES_BY_KIND[box.kind](box, answer, shown.asked, shown.answers, width)
        return "\n".join([*truth, "", *said, "", *lines])
    x, wanted, found = _curves(shown)
    limits = y_range(wanted)
    domain = (box.domain.low, box.domain.high)
    inner = max(width - label_width(limits) - 2, 20)
    marks = (np.asarray(shown.asked, dtype=float), np.asarray(shown.answers, dtype=float))
    size: dict[str, Any] = {"domain": domain, "limits": limits, "width": inner, "height": HEIGHT}
    indent = " " * (label_width(limits) + 2)
    lines = [*truth, "", *plot(x, wanted, **size, marks=marks)]
    lines.append(f"{indent}{ticks(marks[0], domain=domain, width=inner)}")
    if box.intervals:
        lines.append(f"{indent}{bar(box.intervals, domain=domain, width=inner)}")
    corrupted = "; ===: corrupted" if box.intervals else ""
    lines += [f"': asked here; o: an answer off the noiseless function{corrupted}", "", *said, ""]
    lines += plot(x, found, **size)
    if answer.intervals:
        lines.append(f"{indent}{bar(answer.intervals, domain=domain, width=inner)}")
        lines.append("===: said to be corrupted")
    return "\n".join(lines)


def _facts(family: str | None, description: str, intervals: tuple[tuple[float, float], ...]) -> list[str]:
    lines = [f"family: {family}"] if family else []
    if description:
        lines.append(description)
    return lines + [f"departs from it from {low:g} to {high:g}" for low, high in intervals]


def _curves(shown: Shown) -> tuple[Array, Array, Array]:
    """Inputs (n,), the function without noise (n,), and the program (n,)."""
    box = shown.box
    x = np.linspace(box.domain.low, box.domain.high, POINTS)
    return x, _outputs(box.program, x), _outputs(shown.answer.program, x)


def _outputs(program: Any, x: Values) -> Array:
    return np.asarray(run_program(program, x, "numeric")[0], dtype=np.float64)


def draw_function(shown: Shown, path: Path) -> None:
    """Write a picture of a numeric function, its probes and the answer.

    Raises
    ------
    UnsupportedError
        If the function has no curve.
    """
    if shown.box.kind != "numeric":
        raise UnsupportedError("only numeric functions have a picture", "leave out --png for examples")
    from matplotlib.figure import Figure

    x, wanted, found = _curves(shown)
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(x, wanted, color="black", linewidth=2, label=f"{shown.box.name}: {shown.box.family}")
    axes.plot(x, found, color="tab:orange", linewidth=1.2, label=f"{shown.interpreter}: {shown.answer.family or '?'}")
    axes.plot(shown.asked, shown.answers, ".", color="tab:blue", markersize=4, label=f"{len(shown.asked)} probes")
    for intervals, colour in ((shown.box.intervals, "black"), (shown.answer.intervals, "tab:orange")):
        for low, high in intervals:
            axes.axvspan(low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_ylim(*y_range(wanted))
    axes.set_xlim(shown.box.domain.low, shown.box.domain.high)
    axes.set_title(shown.box.description, fontsize="small")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
