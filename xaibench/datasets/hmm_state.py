"""Series of a hidden state that decides which sensor the label of a step depends on (Tonekaboni et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor
from xaibench.core.steps import require_steps
from xaibench.core.types import Array
from xaibench.datasets.splits import generator

MEANS = np.array([[0.1, 1.6, 0.5], [-0.1, -0.4, -1.5]])
"""Of the three sensors in each state."""
VARIANCE, COVARIANCE = 0.801, 0.01
"""Of every sensor; of sensor 0 and the one that counts."""
STAY, TIRING = 0.95, 1 / 500
"""Probability that a state stays; in state 1 it falls by this with every step since the state began."""
SLOPE = 2.0
"""Log odds of label 1 per unit of the sensor that counts."""
LEAST_ACCURACY, LEAST_AGREEMENT, LEAST_FOLLOWING = 0.88, 0.94, 0.9
"""Least share of right steps; of decisions that stay when the idle sensors are exchanged for others of the same state;
and that follow the sign of the sensor that counts when it is."""
STEPS_EXCHANGED = 16
"""Steps of every test series at which sensors are exchanged."""


@dataset("hmm_state", features="series", provides={"truth.mask"})
def hmm_state(
    *, seed: int, steps: Annotated[int, Ge(2)] = 200, n_train: PositiveInt = 400, n_test: PositiveInt = 64
) -> Data:
    """Three sensors over time; a hidden state decides which of two sensors the label of each step depends on.

    Steps of state s are normal with the means of that state and variance .8. In state 0 sensor 1 counts, in state 1
    sensor 2: the label of the step is 1 with probability ``1 / (1 + exp(-2 x))``. A state stays with probability
    .95, which falls with its age in state 1. The truth is the sensor that counts, at every step.

    Models explain a sum over steps (`gru_own_step`, `gru_sum_of_steps`): the context holds the clean ``series``.

    Parameters
    ----------
    seed : int
    steps, n_train, n_test : int

    Notes
    -----
    Tonekaboni et al. 2020 (arXiv:2003.02821), with the constants of time_interpret. The truth is about the data. A good
    model uses more: the means of the states differ, so that the two idle sensors are evidence of the state, and a
    faithful map gives them something. Gates: accuracy over steps; with the idle sensors of a step exchanged for
    draws of the same state the decision stays; with the one that counts exchanged it follows the new sign.
    """
    rng = generator("draws", "hmm_state", seed)
    n = n_train + n_test
    states = _states(rng, n, steps)
    series = draw_sensors(rng, states)
    active = active_sensor(states)
    odds = SLOPE * np.take_along_axis(series, active[..., None], axis=2)[..., 0]
    labels = (rng.random((n, steps)) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    series = series.astype(np.float32)
    values = (np.abs(odds).sum(axis=1) / 2).astype(np.float32)
    mask = active[..., None] == np.arange(MEANS.shape[1])
    train, test, targets = slice(n_test, None), slice(n_test), np.zeros(n, dtype=np.int64)
    return Data(
        "series",
        series[train],
        targets[train],
        series[test],
        targets[test],
        test_rows=series[test],
        class_names=("sum over steps",),
        test_mask=mask[test],
        train_mask=mask[train],
        truth_kind="data",
        accuracy_floor=None,
        train_values=values[train],
        test_values=values[test],
        facts={"train_labels": labels[train], "test_labels": labels[test], "test_states": states[test]},
        checks=(StateExchanges(seed),),
        train_context={"series": series[train]},
        test_context={"series": series[test]},
    )


def _states(rng: np.random.Generator, n: int, steps: int) -> Array:
    """Hidden states (n, steps) of 0 and 1."""
    found = np.zeros((n, steps), dtype=np.int64)
    found[:, 0] = rng.integers(2, size=n)
    age = np.zeros(n)
    for t in range(1, steps):
        stay = np.where(found[:, t - 1] == 1, STAY - TIRING * age, STAY)
        stays = rng.random(n) < stay
        found[:, t] = np.where(stays, found[:, t - 1], 1 - found[:, t - 1])
        age = np.where(stays, age + 1, 0)
    return found


def active_sensor(states: Array) -> Array:
    """The sensor that counts in each state: 1 in state 0, 2 in state 1."""
    return states + 1


def draw_sensors(rng: np.random.Generator, states: Array) -> Array:
    """Sensors (*shape, 3) of steps in these states (*shape)."""
    found = np.empty((*states.shape, MEANS.shape[1]))
    for state, mean in enumerate(MEANS):
        covariance = VARIANCE * np.eye(len(mean))
        covariance[0, state + 1] = covariance[state + 1, 0] = COVARIANCE
        noise = rng.standard_normal(found.shape) @ np.linalg.cholesky(covariance).T
        found = np.where((states == state)[..., None], mean + noise, found)
    return found


@dataclass(frozen=True)
class StateExchanges:
    """Whether decisions about steps are right, and follow the sensor that counts and not the others.

    At some steps of every test series sensors are exchanged for those of another step in the same state, the past
    being as it was.

    Attributes
    ----------
    seed : int
    """

    seed: int

    @property
    def identity(self) -> list[Any]:
        return ["exchanges in the same state", 1, self.seed]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Decisions of all steps, and of the steps with exchanged sensors."""
        module, states = require_steps(model), data.facts["test_states"]
        rng = generator("exchange", "hmm_state", self.seed)
        n, steps = states.shape
        at = np.stack([rng.permutation(steps)[: min(STEPS_EXCHANGED, steps)] for _ in range(n)])
        rows = np.repeat(np.arange(n), at.shape[1])
        at = at.ravel()
        drawn = draw_sensors(rng, states[rows, at]).astype(np.float32)
        counts = active_sensor(states[rows, at])[:, None] == np.arange(drawn.shape[1])

        def decided(inputs: Array) -> Array:
            with torch.no_grad():
                outputs = module.step_outputs(torch.from_numpy(inputs).to(model.device))
            found: Array = outputs.argmax(dim=2).cpu().numpy()
            return found

        def exchanged(which: Array) -> Array:
            copies, each = data.test_inputs[rows], np.arange(len(rows))
            copies[each, at] = np.where(which, drawn, copies[each, at])
            found: Array = decided(copies)[each, at]
            return found

        clean = decided(data.test_inputs)
        same = exchanged(~counts) == clean[rows, at]
        follows = exchanged(counts) == (drawn[counts] > 0)
        return Findings(
            (
                Gate("accuracy of steps", float((clean == data.facts["test_labels"]).mean()), LEAST_ACCURACY),
                Gate(
                    "decisions that stay, idle sensors exchanged in the same state", float(same.mean()), LEAST_AGREEMENT
                ),
                Gate("decisions that follow the sensor that counts", float(follows.mean()), LEAST_FOLLOWING),
            )
        )
