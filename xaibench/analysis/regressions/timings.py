"""What explaining and scoring took, in two runs."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

MIN_SLOWDOWN_SECONDS = 0.5
"""Seconds that a stage must take more than before to be worth a line."""
SLOWER = 1.5
"""Ratio from which a stage is called slower."""
TIMING_COLUMNS = ["stage", "name", "baseline_seconds", "candidate_seconds", "ratio", "n"]


def costs(pairs: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame) -> pd.DataFrame:
    """Seconds per explainer and per metric, summed over what both sides have computed on their own.

    An explanation counts once per unit. What has the very same time on both sides was taken over from
    one to the other and is left out.

    Parameters
    ----------
    pairs : DataFrame
        From `xaibench.analysis.regressions.cell_matching.pair_cells`.
    baseline, candidate : DataFrame

    Returns
    -------
    DataFrame
        Columns ``stage`` (explain, score), ``name``, ``baseline_seconds``, ``candidate_seconds``,
        ``ratio`` and ``n`` (explanations, or cells); largest difference first.
    """
    found = summed_costs(pairs, baseline, candidate, "seconds", least=1e-9)
    return found.rename(columns={"baseline": "baseline_seconds", "candidate": "candidate_seconds"})[TIMING_COLUMNS]


def summed_costs(
    pairs: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame, quantity: str, *, least: float
) -> pd.DataFrame:
    """What explainers and metrics took on both sides in all, largest difference first.

    Parameters
    ----------
    pairs, baseline, candidate, quantity
        As for `paired_costs`.
    least : float
        Ratios are to a baseline of at least this.

    Returns
    -------
    DataFrame
        Columns ``stage``, ``name``, ``baseline``, ``candidate``, ``ratio`` and ``n`` (explanations, or cells).
    """
    frames = []
    for stage, part in paired_costs(pairs, baseline, candidate, quantity):
        summed = part.groupby("name")[["baseline", "candidate"]].sum()
        frames.append(summed.assign(stage=stage, n=part.groupby("name").size()).reset_index())
    found = pd.concat(frames, ignore_index=True)
    found["ratio"] = found["candidate"] / found["baseline"].clip(lower=least)
    order = (found["baseline"] - found["candidate"]).sort_values(kind="stable").index
    return found.loc[order].reset_index(drop=True)


def paired_costs(
    pairs: pd.DataFrame, baseline: pd.DataFrame, candidate: pd.DataFrame, quantity: str
) -> Iterator[tuple[str, pd.DataFrame]]:
    """What explaining, then what scoring took on both sides, where both have computed and recorded it.

    Parameters
    ----------
    pairs : DataFrame
        From `xaibench.analysis.regressions.cell_matching.pair_cells`.
    baseline, candidate : DataFrame
    quantity : str
        ``seconds`` or ``memory``; a side without such columns has recorded none.

    Yields
    ------
    stage : {"explain", "score"}
    DataFrame
        Columns ``name``, ``unit``, ``baseline``, ``candidate``; a row per explanation, or per cell.
    """
    both = pairs[pairs["state"].isin(("pair", "retrained", "undefined", "fixed"))]

    def column(side: pd.DataFrame, name: str, index: str) -> pd.Series[float]:
        values = side[name] if name in side else pd.Series(float("nan"), side.index)
        return pd.Series(values.to_numpy(dtype=float, na_value=float("nan"))[both[index]])

    for stage, name in (("explain", "explainer"), ("score", "metric")):
        part = pd.DataFrame(
            {
                "name": both[name].to_numpy(),
                "unit": candidate["unit_id"].to_numpy()[both["c"]],
                "baseline": column(baseline, f"{stage}_{quantity}", "b"),
                "candidate": column(candidate, f"{stage}_{quantity}", "c"),
            }
        )
        computed = column(baseline, f"{stage}_seconds", "b") != column(candidate, f"{stage}_seconds", "c")
        part = part[computed].dropna()
        yield stage, part.drop_duplicates("unit") if stage == "explain" else part


def slower(found: pd.DataFrame, ratio: float = SLOWER) -> pd.DataFrame:
    """Stages that take more than ``ratio`` times as long, and at least half a second more."""
    more = found["candidate_seconds"] - found["baseline_seconds"]
    return found[(found["ratio"] > ratio) & (more > MIN_SLOWDOWN_SECONDS)].reset_index(drop=True)
