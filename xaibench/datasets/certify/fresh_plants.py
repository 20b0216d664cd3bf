"""Plants drawn afresh: what recipes that train in rounds ask for, instead of the same planted rows in every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xaibench.core.data import Data
from xaibench.core.types import Array
from xaibench.datasets.splits import generator


class Puts(Protocol):
    """What is put into rows; see `xaibench.datasets.certify.planting.Plant`."""

    @property
    def n_draws(self) -> int:
        """Random numbers that a row needs."""
        ...

    def put(self, rows: Array, versions: Array, noise: Array) -> Array:
        """Rows (N, *input_shape) in the versions (N,)."""
        ...


class Plants(Protocol):
    """By which rules it is put into a data set; see `xaibench.datasets.certify.planting.Planting`."""

    @property
    def plant(self) -> Puts:
        """The plant."""
        ...

    def planted(self, data: Data, inputs: Array, *, seed: int, repeat: int) -> tuple[Array, Array, Array | None]:
        """Training rows with plants, their classes and values."""
        ...


@dataclass(frozen=True)
class FreshPlants:
    """The training rows of a copy without its plant, and how plants are put into them again and again.

    Attributes
    ----------
    planting : Plants
    data : Data
        The data without plant.
    inputs : array (N, *input_shape)
        Their training rows, with room for the plant.
    seed : int
    """

    planting: Plants
    data: Data
    inputs: Array
    seed: int

    def epoch(self, number: int) -> tuple[Array, Array]:
        """Training rows (N, *input_shape) and what a model is to learn (N,), with the plants of an epoch.

        Epochs as many as the copy has repeats are those of the copy itself.
        """
        rows, targets, values = self.planting.planted(self.data, self.inputs, seed=self.seed, repeat=number)
        return rows, targets if values is None else values

    def both(self, rows: Array) -> tuple[Array, Array]:
        """Some rows (numbers (M,) of them) in version A and in version B, each pair at one place."""
        chosen = self.inputs[rows]
        noise = generator("certify held out", self.seed).random((len(self.inputs), self.planting.plant.n_draws))[rows]
        a, b = (self.planting.plant.put(chosen, np.full(len(chosen), side), noise) for side in (1, -1))
        return a, b
