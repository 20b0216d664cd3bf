"""Models that discriminate openly, and scaffolded models that hide it from explainers (Slack et al. 2020)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import NearestNeighbors

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.keys import seed as derive_seed
from xaibench.core.masking.references import kmeans_centres
from xaibench.core.types import Array
from xaibench.datasets.splits import split

Attack = Literal["lime", "shap"]
Detector = Literal["forest", "neighbours"]
Score = Callable[[Array], Array]
"""How real rows (N, D) look: (N,), larger is more real."""

REPEATS = 30
"""Noisy copies of every row that the detector against LIME learns from."""
ATTACK_NOISE = 0.3
N_SUBSTITUTED, N_CENTRES = 20_000, 10
FALSE_ALARMS: dict[str, float] = {"forest": 0.05, "neighbours": 0.01}
"""Share of held-out real rows that each detector may take for made up."""
FIDELITY: dict[str, float] = {"forest": 0.95, "neighbours": 0.98}


@dataclass(frozen=True)
class SensitiveBitRule:
    """Decides by one bit, and says so: ``[no, yes]`` as 0 and 1.

    Attributes
    ----------
    column : int
    """

    column: int
    fidelity_floor: float = 1.0

    def __call__(self, rows: Array) -> Array:
        return _decisions(rows[:, self.column] > 0.5)


@dataclass(frozen=True)
class Scaffold:
    """Decides real rows by the sensitive bit and made-up ones by the decoy.

    Attributes
    ----------
    sensitive, decoy : int
        Columns.
    real : callable
        Tells real rows (N, D) from made-up ones: (N,) of bool.
    fidelity_floor : float
        Share of real rows that must be decided by the sensitive bit.
    """

    sensitive: int
    decoy: int
    real: Callable[[Array], Array]
    fidelity_floor: float

    def __call__(self, rows: Array) -> Array:
        return _decisions(np.where(self.real(rows), rows[:, self.sensitive], rows[:, self.decoy]) > 0.5)


def _decisions(yes: Array) -> Array:
    return np.stack([~yes, yes], axis=1).astype(np.float32)


@model("biased", provides=(), features={"table"})
def biased(data: Data) -> Any:
    """A black box that decides by the sensitive bit and nothing else."""
    return SensitiveBitRule(_column(data, "sensitive"))


@model("scaffolded", provides=(), features={"table"})
def scaffolded(
    data: Data, *, seed: int, attack: Attack = "lime", detector: Detector = "forest", rounded: bool = True
) -> Any:
    """A black box that is biased about real rows and looks innocent where explainers ask.

    A detector tells real rows from those that an explainer makes up. Four fifths of the training
    rows are what it learns; the others set its threshold, so that it takes few real rows for made up.

    Parameters
    ----------
    seed : int
    attack : {"lime", "shap"}
        Which explainer's rows a forest learns to know: training rows with N(0, .3) noise on the
        numbers, or with some of their columns taken from one of 10 k-means centres.
    detector : {"forest", "neighbours"}
        Random forest of 100 trees; or the distance, in the numbers, to the nearest training row,
        which is the same for both attacks.
    rounded : bool
        Against KernelSHAP: expect centres whose numbers are moved to the nearest one of their
        column, as in ``kernel_shap(references="kmeans_rounded")``; else as they are.
    """
    sensitive, decoy = _column(data, "sensitive"), _column(data, "decoy")
    rng = np.random.default_rng(derive_seed("scaffold", seed))
    # Rows that differ in the decoy only are the same row: on one side, as they are in the test split.
    rest = np.delete(data.train_inputs, decoy, axis=1)
    known, held_out = (data.train_inputs[rows] for rows in split(rest, data.train_targets, 0.2, rng))
    numbers = np.flatnonzero(~np.isin(data.train_inputs, (0.0, 1.0)).all(axis=0))
    if detector == "neighbours":
        score = _nearness(known, numbers)
    else:
        if attack == "lime":
            made_up = _noisy(known, numbers, rng)
        else:
            made_up = _substituted(known, kmeans_centres(data.train_inputs, N_CENTRES, rounded=rounded)[0], rng)
        score = _forest(known, made_up, int(rng.integers(2**31)))
    border = np.quantile(score(held_out), FALSE_ALARMS[detector])
    return Scaffold(sensitive, decoy, lambda rows: score(rows) >= border, FIDELITY[detector])


def _column(data: Data, name: str) -> int:
    if name not in data.facts:
        raise UsageError(f"these data do not say which column is the {name} one", "take scaffold_table")
    return int(data.facts[name])


def _noisy(rows: Array, numbers: Array, rng: np.random.Generator) -> Array:
    """Copies of the rows with noise on the numbers, as LIME makes them."""
    copies = np.repeat(rows, REPEATS, axis=0)
    copies[:, numbers] += ATTACK_NOISE * rng.standard_normal((len(copies), len(numbers)), dtype=np.float32)
    return copies


def _substituted(rows: Array, centres: Array, rng: np.random.Generator) -> Array:
    """Rows some of whose columns come from one of the centres (K, D), as KernelSHAP makes them."""
    d = rows.shape[1]
    own = rows[rng.integers(len(rows), size=N_SUBSTITUTED)]
    others = centres[rng.integers(len(centres), size=N_SUBSTITUTED)]
    size = rng.integers(1, d, size=(N_SUBSTITUTED, 1))
    taken = rng.random((N_SUBSTITUTED, d)).argsort(axis=1) < size
    return np.where(taken, others, own)


def _forest(real: Array, made_up: Array, seed: int) -> Score:
    """Share of 100 trees that take a row for real.

    Real rows are repeated until there are as many as made-up ones. Every tree sees as many rows as
    there are different real ones: with all of them, trees learn the repeated rows by heart and take
    other real rows for made up.
    """
    repeated = real[np.arange(len(made_up)) % len(real)]
    forest = RandomForestClassifier(100, max_samples=len(real), random_state=seed, n_jobs=1)
    forest.fit(np.vstack([repeated, made_up]), np.repeat([1, 0], len(made_up)))
    return lambda rows: np.asarray(forest.predict_proba(rows)[:, 1])


def _nearness(real: Array, numbers: Array) -> Score:
    """Minus the distance to the nearest real row, in the columns that hold numbers."""
    index = NearestNeighbors(n_neighbors=1).fit(real[:, numbers])
    return lambda rows: -np.asarray(index.kneighbors(rows[:, numbers])[0][:, 0])
