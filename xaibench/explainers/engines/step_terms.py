"""The terms of every step under coalitions of sensors, for models whose output is a sum of one term per step."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.masking.maskers import FillMasker, Masker
from xaibench.core.problem import ProblemView
from xaibench.core.steps import OwnStepModule

CELLS_AT_ONCE = 2**20
"""Cells of copies that are evaluated at once."""


def clean_series(problem: ProblemView) -> tuple[Tensor, Tensor | None]:
    """The clean series (N, T, D) of the samples, and the classes (N, T) of their steps where they are given.

    Raises
    ------
    UnsupportedError
        If the problem has no such context.
    """
    if "series" not in problem.context:
        raise UnsupportedError("the clean series are not in the context", "context=adapter.context(inputs)")
    return problem.context["series"], problem.context.get("classes")


def step_terms(problem: ProblemView, module: OwnStepModule, fill: Masker, coalitions: Tensor) -> Tensor:
    """Terms (N, K, T) of all steps under coalitions (K, D) of sensors that stay.

    Raises
    ------
    UnsupportedError
        If what takes the place of a cell depends on which others stay.
    """
    if not isinstance(fill, FillMasker):
        raise UnsupportedError(f"with {fill.name} a cell depends on other steps", "take zero, mean or marginal")
    series, classes = clean_series(problem)
    steps, sensors = problem.layout.feature_shape
    n = len(coalitions)
    size = max(1, CELLS_AT_ONCE // (n * steps * sensors))
    parts = []
    for start in range(0, len(problem), size):
        rows = torch.arange(start, min(start + size, len(problem)), device=problem.inputs.device)
        own = rows.repeat_interleave(n)
        keep = coalitions.repeat(len(rows), 1).unsqueeze(1).expand(-1, steps, -1)
        copies = fill(problem.inputs[own], keep, own)
        with torch.no_grad():
            found = module.own_terms(copies, series[own], None if classes is None else classes[own])
        problem.model.n_evaluations += len(copies)
        parts.append(found.view(len(rows), n, steps))
    return torch.cat(parts)
