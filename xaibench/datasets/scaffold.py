"""Data for the scaffolding attack (Slack et al. 2020): a sensitive column that decides, and an unrelated decoy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import PositiveInt

from xaibench.core.checks import accuracy
from xaibench.core.data import Data, Intervention
from xaibench.core.data_registry import dataset
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import CallablePredictor, Predictor
from xaibench.core.types import Array
from xaibench.datasets.cards import read_shipped
from xaibench.datasets.splits import generator, split
from xaibench.datasets.tables import read_csv, standardised

_PROVIDES = {"truth.mask", "truth.distractors"}
N_NUMBERS, RANK, NUMBERS_NOISE = 8, 3, 0.05


@dataset("scaffold_table", features="table", provides=_PROVIDES)
def scaffold_table(*, seed: int, n_rows: PositiveInt = 2700, n_test: PositiveInt = 700) -> Data:
    """Which bit decides, the sensitive one or the decoy? Eight numbers near a 3-dimensional plane and two fair bits.

    The label is what a biased rule decides: the sensitive bit. The truth is that bit, the decoy is
    a distractor. They are checked by intervention on every model. Rows that an explainer makes up
    leave the plane, and that is how a scaffold knows them (Slack et al. 2020, arXiv:1911.02508).

    Parameters
    ----------
    seed : int
    n_rows, n_test : int
        Rows in all, and for testing.
    """
    rng = generator("rows", "scaffold_table", seed)
    plane = rng.standard_normal((RANK, N_NUMBERS))
    numbers = rng.standard_normal((n_rows, RANK)) @ plane + NUMBERS_NOISE * rng.standard_normal((n_rows, N_NUMBERS))
    bits = rng.integers(2, size=(n_rows, 2)).astype(float)
    order = rng.permutation(n_rows)
    names = (*(f"x{j}" for j in range(N_NUMBERS)), "sensitive", "decoy")
    return _scaffold_data(np.hstack([numbers, bits]), order[n_test:], order[:n_test], names, rng)


@dataset("scaffold_compas", features="table", provides=_PROVIDES)
def scaffold_compas(*, seed: int) -> Data:
    """Real defendants of the COMPAS data: does race decide, or a column of coin flips that was added to them?

    Age, numbers of earlier offences, sex, degree of the charge, race (African-American or not) as
    the sensitive bit, and an unrelated bit as the decoy. The label is what a biased rule decides,
    race alone; see `scaffold_table`.

    Parameters
    ----------
    seed : int
    """
    frame = read_csv(read_shipped("compas", "compas.csv"))
    names = ("age", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")
    bits = {
        "sex=Male": frame["sex"] == "Male",
        "c_charge_degree=M": frame["c_charge_degree"] == "M",
        "race=African-American": frame["race"] == "African-American",
    }
    columns = np.column_stack([*(frame[n] for n in names), *bits.values()]).astype(float)
    rng = generator("split", "scaffold_compas", seed)
    train, test = split(columns, columns[:, -1].astype(np.int64), 0.2, rng)
    decoy = rng.integers(2, size=(len(columns), 1)).astype(float)
    return _scaffold_data(np.hstack([columns, decoy]), train, test, (*names, *bits, "unrelated"), rng)


def _scaffold_data(columns: Array, train: Array, test: Array, names: tuple[str, ...], rng: np.random.Generator) -> Data:
    """Data whose last two columns are the sensitive bit and the decoy."""
    sensitive, decoy = columns.shape[1] - 2, columns.shape[1] - 1
    labels = columns[:, sensitive].astype(np.int64)
    base = standardised(columns, labels, train, test)
    inputs, targets, n = base.test_inputs, base.test_targets, len(test)
    other = rng.permutation(n)

    def changed(name: str, columns: slice, values: Array, **rule: Any) -> Intervention:
        rows = inputs.copy()
        rows[:, columns] = values
        return Intervention(name, rows, targets, np.arange(n), **rule)

    bit, lure = slice(sensitive, decoy), slice(decoy, None)
    marks = np.zeros((2, *inputs.shape), dtype=bool)
    marks[0, :, sensitive], marks[1, :, decoy] = True, True
    return Data(
        "table",
        base.train_inputs,
        base.train_targets,
        inputs,
        targets,
        test_rows=base.test_rows,
        feature_names=names,
        class_names=("no", "yes"),
        test_mask=marks[0],
        test_distractors=marks[1],
        truth_kind="model",
        accuracy_floor=None,
        interventions=(
            changed("sensitive bit flipped", bit, 1 - inputs[:, bit], at_most=0.1),
            changed("decoy flipped", lure, 1 - inputs[:, lure], max_drop=0.05),
            changed("other columns of another row", slice(0, sensitive), inputs[other, :sensitive], max_drop=0.05),
        ),
        facts={"sensitive": sensitive, "decoy": decoy},
        checks=(Fidelity(),),
    )


@dataclass(frozen=True)
class Fidelity:
    """How often the model decides about test rows as the biased rule does, which the labels hold.

    A model that hides a rule says itself how faithful to it it must be, by an attribute
    ``fidelity_floor`` of its function: detectors differ.

    Attributes
    ----------
    floor : float
        For models that say nothing.
    """

    floor: float = 0.95

    @property
    def identity(self) -> list[Any]:
        return ["fidelity", 1, self.floor]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Compare decisions on the test split."""
        function = model.function if isinstance(model, CallablePredictor) else None
        floor = float(getattr(function, "fidelity_floor", self.floor))
        return Findings((Gate("fidelity", accuracy(model, data.test_inputs, data.test_targets), floor),))
