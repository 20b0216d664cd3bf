"""A finished comparison of two runs: what was found, and what it means for a gate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from xaibench.analysis.regressions.memory import MEMORY_COLUMNS, larger
from xaibench.analysis.regressions.timings import slower
from xaibench.analysis.regressions.verdicts import CHANGE_VERDICTS, COMPARED, FAILING


@dataclass(frozen=True)
class RunReference:
    """One side of a comparison.

    Attributes
    ----------
    reference : str
        Store, or store and run, as it was given.
    runs : list of dict
        Manifests of the runs, one per suite.
    """

    reference: str
    runs: list[dict[str, Any]] = field(repr=False)

    def __str__(self) -> str:
        runs = ", ".join(f"run {m['run']} of {m['suite']}, {str(m.get('started', ''))[:16]}" for m in self.runs)
        return f"{self.reference} ({runs})"


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes
    ----------
    findings : DataFrame
        See `xaibench.analysis.regressions.verdicts.compare_runs`.
    costs : DataFrame
        See `xaibench.analysis.regressions.timings.costs`.
    baseline, candidate : RunReference
    n_identical : int
        Cells that are the very same row on both sides: nothing was computed in between.
    notes : list of str
        What else a reader should know.
    allow_lost : bool
        Missing cells do not count as regressions.
    max_slowdown : float, optional
        An explainer or metric that takes more than this many times as long is a regression.
    memory : DataFrame
        See `xaibench.analysis.regressions.memory.memory`.
    max_memory : float, optional
        An explainer or metric that takes more than this many times as much memory is a regression.
    """

    findings: pd.DataFrame
    costs: pd.DataFrame
    baseline: RunReference
    candidate: RunReference
    n_identical: int = 0
    notes: list[str] = field(default_factory=list)
    allow_lost: bool = False
    max_slowdown: float | None = None
    memory: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=MEMORY_COLUMNS))
    max_memory: float | None = None

    @property
    def failing(self) -> pd.DataFrame:
        """Findings that make the comparison fail."""
        verdicts = [v for v in FAILING if not (self.allow_lost and v == "lost")]
        return self.findings[self.findings["verdict"].isin(verdicts)]

    @property
    def too_slow(self) -> pd.DataFrame:
        """Explainers and metrics that take longer than is allowed."""
        return slower(self.costs, float("inf") if self.max_slowdown is None else self.max_slowdown)

    @property
    def too_large(self) -> pd.DataFrame:
        """Explainers and metrics that take more memory than is allowed."""
        return larger(self.memory, float("inf") if self.max_memory is None else self.max_memory)

    @property
    def compared(self) -> pd.DataFrame:
        """Entries whose scores were compared."""
        scores = self.findings[self.findings["measure"] == "score"]
        return scores[scores["verdict"].isin(COMPARED)]

    @property
    def n_cells(self) -> int:
        """Cells whose scores were compared."""
        return int(self.compared["n_cells"].sum())

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings by verdict, in the order of `CHANGE_VERDICTS`."""
        found = self.findings["verdict"].value_counts()
        return {verdict: int(found[verdict]) for verdict in CHANGE_VERDICTS if verdict in found}

    def reasons(self, verdict: str) -> list[tuple[str, int]]:
        """Why findings have this verdict, with the number of cells, most frequent first."""
        chosen = self.findings[self.findings["verdict"] == verdict]
        cells = chosen.groupby(chosen["message"].fillna(""))["n_cells"].sum()
        return [(str(why), int(n)) for why, n in cells.sort_values(ascending=False, kind="stable").items()]

    @property
    def outcome(self) -> str:
        """``regression``, ``nothing comparable`` or ``passed``; nothing comparable is never a pass."""
        if len(self.failing) or len(self.too_slow) or len(self.too_large):
            return "regression"
        return "passed" if self.n_cells else "nothing comparable"
