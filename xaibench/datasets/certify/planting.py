"""A copy of a data set with a plant: training rows that carry it, and every test row in both versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from xaibench.core.data import Data, PairSource
from xaibench.core.draws import Draws
from xaibench.core.errors import DataError
from xaibench.core.keys import row_digests
from xaibench.core.types import Array
from xaibench.datasets.certify.carriers import Protocol as CarrierProtocol
from xaibench.datasets.certify.carriers import (
    both_versions,
    draw_carriers,
    expected_targets,
    sample_names,
)
from xaibench.datasets.certify.check import Original, ShortcutCheck
from xaibench.datasets.certify.fresh_plants import FreshPlants
from xaibench.datasets.splits import generator

LEAST_TEST_ROWS = 10
"""Test rows that are needed at least."""
N_EXCHANGED = 8
"""Replacements of everything but the plant, for each test row."""
SWAPPED, ABSENT, EXCHANGED = "input_pair.swapped", "input_pair.absent", "input_pair.exchanged"
"""The test rows with the other version, without the plant, and with everything else replaced by another row."""
PROVIDES = frozenset({"truth.mask", SWAPPED, ABSENT, EXCHANGED})


class Plant(Protocol):
    """What is put into rows, and where that is."""

    @property
    def moves(self) -> bool:
        """Whether the place differs from row to row."""
        ...

    @property
    def n_draws(self) -> int:
        """Random numbers from U[0, 1) that a row needs."""
        ...

    def put(self, rows: Array, versions: Array, noise: Array) -> Array:
        """Rows (N, *input_shape) in the versions (N,) 1, -1 or 0."""
        ...

    def natural(self, rows: Array) -> Array:
        """Rows (N,) that have a version by themselves."""
        ...

    def mask(self, rows: Array, noise: Array) -> Array:
        """The truth (N, *feature_shape) of bool, in rows (N, *input_shape) without the plant."""
        ...


class Planting:
    """How strongly and by which rules a plant is put into a data set.

    Parameters
    ----------
    plant : Plant
    classes : tuple of int
        Classes of versions A and B.
    level : float
        Probability with which a carrier's label follows the version; 0 is the null twin.
    share : float
        Share of the training rows that carry the plant.
    protocol : {"carriers", "agree"}
    shift : float
        Of regressions: what is added to the value on carriers, in standard deviations.
    balanced : bool
        Whether both versions are equally often in the training rows, in the place of a coin for every carrier.
    """

    def __init__(
        self,
        plant: Plant,
        classes: tuple[int, int],
        *,
        level: float,
        share: float,
        protocol: CarrierProtocol = "carriers",
        shift: float = 2.0,
        balanced: bool = False,
    ) -> None:
        self.plant, self.classes = plant, classes
        self.level, self.share, self.protocol, self.shift = level, share, protocol, shift
        self.balanced = balanced

    def train(self, data: Data, inputs: Array, *, seed: int, repeats: int = 1) -> dict[str, Any]:
        """Training fields of the copy; with ``repeats`` every row is there so often, with plants drawn afresh."""
        made = [self.planted(data, inputs, seed=seed, repeat=repeat) for repeat in range(repeats)]
        rows, learned = (np.concatenate([part[i] for part in made]) for i in (0, 1))
        found: dict[str, Any] = {"train_inputs": rows, "train_targets": learned}
        if data.train_values is not None:
            numbers = np.concatenate([values for _, _, values in made if values is not None])
            found |= {"train_targets": np.tile(data.train_targets, repeats), "train_values": numbers}
        return found

    def planted(self, data: Data, inputs: Array, *, seed: int, repeat: int) -> tuple[Array, Array, Array | None]:
        """Training rows with plants, their classes, and their values if it is a regression; ``repeat`` draws afresh."""
        values = data.train_values
        rng = generator("certify carriers", self.protocol, seed, repeat)
        drawn = draw_carriers(
            data.train_targets, self.classes, share=self.share, level=self.level, protocol=self.protocol, rng=rng,
            balanced=self.balanced,
        )  # fmt: skip
        noise = rng.random((len(inputs), self.plant.n_draws))
        rows = self.plant.put(inputs, drawn.versions, noise)
        if values is not None:
            follows = drawn.versions * (rng.random(len(inputs)) < self.level)
            values = (values + self.shift * values.std() * follows).astype(values.dtype)
        return rows, drawn.targets, values

    def test(self, data: Data, inputs: Array, *, n_rows: int, original: Original | None) -> dict[str, Any]:
        """Test fields of the copy: at most ``n_rows`` rows in both versions, the truth, its check, and pairs."""
        usable = usable_rows(self.plant, inputs, n_rows)
        inputs, own, n = inputs[usable], data.test_targets[usable], len(usable)
        digests = row_digests((data.test_inputs if data.test_rows is None else data.test_rows)[usable])
        rows, versions = both_versions(digests)
        draws = Draws(0, "certify plant", [digests[i] for i in rows])
        noise = draws.uniform((self.plant.n_draws,)).numpy()
        planted = self.plant.put(inputs[rows], versions, noise)
        swapped = self.plant.put(inputs[rows], -versions, noise)
        others = draws.child("others").integers(n, (N_EXCHANGED,)).numpy()
        exchanged = [self.plant.put(inputs[others[:, k]], versions, noise) for k in range(N_EXCHANGED)]
        elsewhere = draws.child("place").uniform((self.plant.n_draws,)).numpy()
        moved = self.plant.put(inputs[rows], versions, elsewhere) if self.plant.moves else None
        names = sample_names(digests, rows, versions)
        values = None if data.test_values is None else data.test_values[usable]
        level, first = self.level, exchanged[0]
        check = ShortcutCheck(level, self.classes, rows, versions, inputs, own, values, others, first, moved, original)
        pairs = [
            PairSource(SWAPPED, "the other version", inputs=swapped, level=level),
            PairSource(ABSENT, "without the plant", inputs=inputs[rows].copy(), level=level),
            *(PairSource(EXCHANGED, f"other row {k}", inputs=x, level=level) for k, x in enumerate(exchanged)),
        ]
        found: dict[str, Any] = {
            "test_inputs": planted,
            "test_targets": expected_targets(versions, own[rows], self.classes, level, names),
            "test_rows": names,
            "test_mask": self.plant.mask(inputs[rows], noise),
            "checks": (check,),
            "pairs": tuple(pairs),
        }
        if data.test_values is not None:
            shift = self.shift * data.test_values.std() * versions * (level >= 0.5)
            values = (data.test_values[usable][rows] + shift).astype(data.test_values.dtype)
            found |= {"test_targets": own[rows], "test_values": values}
        return found

    def copy(
        self,
        data: Data,
        fields: Mapping[str, Any] = MappingProxyType({}),
        *,
        seed: int,
        repeats: int = 1,
        n_rows: int,
        original: tuple[float, ...],
    ) -> Data:
        """The data with the plant in training and test rows; ``fields`` are what it changes beside them."""
        train, test = (fields.get(name, getattr(data, name)) for name in ("train_inputs", "test_inputs"))
        known = Original(*original) if original else None
        tested = self.test(data, test, n_rows=n_rows, original=known)
        (check,) = tested["checks"]
        tested["checks"] = (replace(check, fresh=FreshPlants(self, data, train, seed)),)
        return copy_of(
            data,
            {
                **fields,
                **self.train(data, train, seed=seed, repeats=repeats),
                **tested,
            },
        )


def usable_rows(plant: Plant, inputs: Array, n_rows: int) -> Array:
    """Numbers of at most ``n_rows`` test rows (N, *input_shape) that do not have a version of the plant by themselves.

    Raises
    ------
    DataError
        If there are fewer than ten.
    """
    found: Array = np.flatnonzero(~plant.natural(inputs))[:n_rows]
    if len(found) < LEAST_TEST_ROWS:
        raise DataError(
            f"only {len(found)} test rows are without a version of the plant", "give more rows, or try the plant new"
        )
    return found


def copy_of(data: Data, fields: Mapping[str, Any]) -> Data:
    """The data set with other fields, and without truths, checks and pairs of its own: it is about the plant."""
    names = data.class_names or tuple(str(i) for i in range(data.n_classes))
    plain: dict[str, Any] = {
        "class_names": () if data.train_values is not None and not data.class_names else names,
        "truth_kind": "model",
        "accuracy_floor": None,
        "train_mask": None,
        "test_distractors": None,
        "test_signs": None,
        "interventions": (),
    }
    return replace(data, **{**plain, **fields})
