"""Gates of the problems on a leaderboard: every measured condition, and whether it holds."""

from __future__ import annotations

import json

import pandas as pd

from xaibench.analysis.leaderboard.columns import PROBLEM
from xaibench.core.gates import gate_of

GATE_COLUMNS = ("dataset", "model", "problem_seed", "name", "value", "threshold", "at_least", "passed", "limited")


def gate_conditions(board: pd.DataFrame) -> pd.DataFrame:
    """Every condition of every problem, in the order of the board.

    Parameters
    ----------
    board : DataFrame
        `PROBLEM` and ``gates``, the conditions as JSON.

    Returns
    -------
    DataFrame
        One row per problem, problem seed and condition: ``dataset, model, problem_seed, name, value, threshold,
        at_least`` (else the value must be at most the threshold), ``passed``, ``limited`` (else the value is
        only shown).
    """
    rows = []
    for problem in board.drop_duplicates(PROBLEM).to_dict("records"):
        for found in json.loads(problem["gates"]):
            gate = gate_of(found)
            rows.append(
                (
                    problem["dataset"], problem["model"], found["problem_seed"], gate.label, gate.value, gate.threshold,
                    gate.at_least, gate.passed, gate.limited,
                )
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(GATE_COLUMNS))
