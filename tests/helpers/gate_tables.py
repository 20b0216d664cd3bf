"""Synthetic score tables for the regression gate: what two runs would hold if nothing, or a known thing, changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
CONTROLS = 2


@dataclass(frozen=True)
class Matrix:
    """Cells without scores, and what they share.

    Attributes
    ----------
    cells : DataFrame
        As in a store; ``fingerprint`` differs between the sides where ``retrained``.
    problem, explainer : array (C,) of int
        Which cells are of one problem (and training), and of one explanation.
    retrained : array (C,) of bool
    n : int
        Samples per cell.
    """

    cells: pd.DataFrame
    problem: Array
    explanation: Array
    retrained: Array
    n: int

    @property
    def names(self) -> list[str]:
        return list(self.cells["explainer"])

    def frame(self, scores: Array) -> pd.DataFrame:
        """One side: scores (C, n); every call is another training of what is retrained."""
        fingerprint = np.where(self.retrained, f"weights {id(scores)}", "weights")
        ids = [f"s{i}" for i in range(self.n)]
        given = {"scores": list(scores), "sample_ids": [ids] * len(scores), "fingerprint": fingerprint}
        return self.cells.assign(**given)

    @classmethod
    def flat(cls, n_cells: int, n: int) -> Matrix:
        """Cells of one problem that have nothing in common, all of equal weights."""
        names = [f"e{i:04}" for i in range(n_cells)]
        none = np.zeros(n_cells, dtype=np.int64)
        return cls(_cells(names, ["score"] * n_cells, ["p"] * n_cells, none), none, np.arange(n_cells), none > 0, n)

    @classmethod
    def nightly(cls, n_seeds: int, n: int = 48) -> Matrix:
        """Problems with equal weights first, then retrained ones; explainers, controls and metrics on each."""
        explainers = [f"e{i}" for i in range(8)] + [f"control{i}" for i in range(CONTROLS)]
        rows = [
            (f"p{problem}", explainer, f"m{metric}", seed, problem >= 4)
            for retrained in (False, True)
            for problem in (range(4, 6) if retrained else range(4))
            for seed in (range(n_seeds) if retrained else range(1))
            for explainer in explainers
            for metric in range(12)
        ]
        problems, names, metrics, seeds, retrained = (np.array(column) for column in zip(*rows, strict=True))
        at = pd.DataFrame({"p": problems, "s": seeds, "e": names})
        return cls(
            _cells(list(names), list(metrics), list(problems), seeds),
            at.groupby(["p", "s"], sort=False).ngroup().to_numpy(),
            at.groupby(["p", "s", "e"], sort=False).ngroup().to_numpy(),
            retrained.astype(bool), n,
        )  # fmt: skip


def _cells(explainers: list[str], metrics: list[str], problems: list[str], seeds: Array) -> pd.DataFrame:
    size = len(explainers)
    ids = [f"{p}/{s}/{e}/{m}" for p, s, e, m in zip(problems, seeds, explainers, metrics, strict=True)]
    same = {
        "model": "m", "selection": "first", "params": "{}", "asked_output": None, "explainer_params": "{}",
        "family": "ground_truth", "higher_is_better": True, "aggregate": "mean", "seed": 0, "repeat": 0,
        "status": "ok", "message": None, "error_kind": None, "output": "probability",
        "versions": "{}", "gate_passed": True, "gates": "[]",
    }  # fmt: skip
    own = {
        "dataset": problems, "explainer": explainers, "metric": metrics, "problem_seed": seeds, "cell_id": ids,
        "lineage": ids, "control": [name.startswith("control") for name in explainers],
    }  # fmt: skip
    return pd.DataFrame({**{k: [v] * size for k, v in same.items()}, **own})


def two_sided(rng: np.random.Generator, shape: tuple[int, ...], tails: str) -> Array:
    """Differences of two exchangeable draws, with mean 0 and SD 1: symmetric, whatever the draws are like."""
    first, second = (_draws(rng, shape, tails) for _ in range(2))
    return (first - second) / np.sqrt(2)


def _draws(rng: np.random.Generator, shape: tuple[int, ...], tails: str) -> Array:
    """Draws with SD 1: normal, heavy-tailed, skewed, or hits and misses."""
    if tails == "t3":
        return rng.standard_t(3, shape) / np.sqrt(3)
    if tails == "skewed":
        return (rng.lognormal(0, 1, shape) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)
    if tails == "discrete":
        return ((rng.random(shape) < 0.2) - 0.2) / 0.4
    return rng.standard_normal(shape)


def fresh_draws(rng: np.random.Generator, matrix: Matrix, tails: str) -> tuple[Array, Array]:
    """Both sides of the cells with equal weights: the explainer draws again, for all its metrics at once."""
    chosen = ~matrix.retrained
    size = int(chosen.sum())
    _, problem = np.unique(matrix.problem[chosen], return_inverse=True)
    _, explanation = np.unique(matrix.explanation[chosen], return_inverse=True)
    samples = rng.standard_normal((problem.max() + 1, matrix.n))[problem]
    sides = [
        samples
        + 0.7 * _draws(rng, (explanation.max() + 1, matrix.n), tails)[explanation]
        + 0.7 * _draws(rng, (size, matrix.n), tails)
        for _ in range(2)
    ]
    return 0.5 + 0.1 * sides[0], 0.5 + 0.1 * sides[1]


def retrained_models(rng: np.random.Generator, matrix: Matrix, tails: str) -> tuple[Array, Array]:
    """Both sides of the retrained cells: a training shifts all its samples, for all explainers and metrics."""
    chosen = matrix.retrained
    size = int(chosen.sum())
    _, problem = np.unique(matrix.problem[chosen], return_inverse=True)
    _, explanation = np.unique(matrix.explanation[chosen], return_inverse=True)
    samples = rng.standard_normal((problem.max() + 1, matrix.n))[problem]
    sides = [
        samples
        + 0.5 * _draws(rng, (problem.max() + 1, 1), tails)[problem]
        + 0.5 * _draws(rng, (explanation.max() + 1, 1), tails)[explanation]
        + 0.5 * _draws(rng, (size, 1), tails)
        + _draws(rng, (size, matrix.n), tails)
        for _ in range(2)
    ]
    return 0.5 + 0.1 * sides[0], 0.5 + 0.1 * sides[1]
