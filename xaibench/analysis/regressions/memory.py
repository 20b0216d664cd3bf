"""Memory that explaining and scoring took, in two runs."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from xaibench.analysis.regressions.timings import summed_costs
from xaibench.core.errors import UsageError

MIN_GROWTH_BYTES = 200e6
"""Bytes that a stage, and the whole run, must take more than before to be worth a line."""
MORE = 1.5
"""Ratio from which a stage is said to take more memory."""
MEMORY_COLUMNS = ["stage", "name", "baseline_bytes", "candidate_bytes", "ratio", "n"]


def memory(pairs: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """Bytes by which explainers and metrics made the process grow, summed over what both sides computed on their own.

    A single large allocation and a leak of small ones show in the sum alike: memory that was freed is used again by
    the next call, and is not counted a second time.

    Parameters
    ----------
    pairs : DataFrame
        From `xaibench.analysis.regressions.cell_matching.pair_cells`.
    baseline, candidate : DataFrame

    Returns
    -------
    DataFrame
        Columns ``stage`` (explain, score), ``name``, ``baseline_bytes``, ``candidate_bytes``, ``ratio`` and ``n``
        (explanations, or cells); largest difference first. Empty where one side did not record memory.
    """
    found = summed_costs(pairs, baseline, candidate, "memory", least=1.0)
    return found.rename(columns={"baseline": "baseline_bytes", "candidate": "candidate_bytes"})[MEMORY_COLUMNS]


def larger(found: pd.DataFrame, ratio: float = MORE) -> pd.DataFrame:
    """Stages that take more than ``ratio`` times as much, and at least 200 MB more, where the whole run does, too.

    Which stage makes a process grow depends on which comes first, so that one may grow where another does not any
    more; the sum over all of them does not change then.
    """
    more = found["candidate_bytes"] - found["baseline_bytes"]
    if not more.sum() > MIN_GROWTH_BYTES:
        return found.iloc[:0]
    return found[(found["ratio"] > ratio) & (more > MIN_GROWTH_BYTES)].reset_index(drop=True)


def check_recorded(sides: Mapping[str, pd.DataFrame]) -> None:
    """Check that every side, cells by the name of a store, has recorded memory: what cannot be judged must not pass.

    Raises
    ------
    UsageError
        If all cells of a side are without.
    """
    for name, cells in sides.items():
        if not any(column in cells and cells[column].notna().any() for column in ("explain_memory", "score_memory")):
            raise UsageError(
                f"the rows of {name} have no memory, so a limit says nothing",
                "run it again with this version, on Linux or a GPU, or leave the limit out",
            )
