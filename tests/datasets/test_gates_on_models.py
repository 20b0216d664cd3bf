"""Gates that are said to be about the model: who uses the signal passes them, and who does not fails every one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from xaibench.core import registry
from xaibench.core.checks import accuracy, measure_gates
from xaibench.core.data import Data
from xaibench.core.predictor import CallablePredictor, Predictor
from xaibench.datasets.xai_tris import PLACES, TETROMINOES, _canvas, _everywhere
from xaibench.models.adapters import as_predictor

Rule = Callable[[np.ndarray], np.ndarray]
"""From inputs (N, ...) to classes (N,)."""
CASES: list[tuple[str, dict[str, Any]]] = [
    ("suppressor", {"c": 0.0}),
    ("suppressor", {"c": 0.8}),
    *(("xai_tris", {"scenario": s}) for s in ("linear", "multiplicative", "translations_rotations", "xor")),
    ("leakage_onehot", {}),
    ("leakage_blocks", {"position": "random"}),
    ("leakage_blocks", {"position": "fixed"}),
    ("switched_regimes", {}),
    ("blockmnist", {}),
    ("blockmnist", {"null": "fixed", "position": "top"}),
]
every = pytest.mark.parametrize(("name", "params"), CASES, ids=lambda v: str(v))


@functools.cache
def made(name: str, params: tuple[tuple[str, Any], ...]) -> Data:
    spec = registry.get("dataset", name)
    data: Data = spec.function(seed=6, **dict(params))
    return data


def follows(data: Data, model: Predictor) -> dict[str, bool]:
    """Whether each gate that asks the decision to follow is passed."""
    found = measure_gates(data, model, accuracy(model, data.test_inputs, data.test_targets))
    wanted = {f"accuracy, {c.name}" for c in data.interventions if c.at_least is not None}
    assert wanted
    return {gate.name: gate.passed for gate in found.gates if gate.name in wanted}


def model_of(rule: Rule) -> Predictor:
    return CallablePredictor(lambda inputs: np.eye(2)[rule(inputs).astype(int)], "probability")


def tetrominoes(inputs: np.ndarray, scenario: str) -> np.ndarray:
    """Rules that use the pixels of the tetrominoes and nothing else."""
    x = inputs[:, 0]
    first, second = (_canvas(shape, *place) for shape, place in zip(TETROMINOES, PLACES, strict=True))
    if scenario == "linear":
        return np.tensordot(x, second - first) > 0
    if scenario == "multiplicative":  # that of the class is dimmed
        return np.tensordot(x**2, first - second) > 0
    if scenario == "xor":
        return np.tensordot(x, first) * np.tensordot(x, second) < 0
    best = [
        np.tensordot(x, np.stack([*_everywhere(shape)]), axes=([1, 2], [1, 2])).max(axis=1) for shape in TETROMINOES
    ]
    return best[1] > best[0]


def digit(inputs: np.ndarray) -> np.ndarray:
    """A one is dark around its middle; the block of the digit is the one with more grey levels."""
    pairs = inputs.reshape(-1, 2, 28, 28)
    place = [np.argmax([len(np.unique(block)) for block in pair]) for pair in pairs]
    return pairs[np.arange(len(pairs)), place][:, 10:18, 11:17].mean(axis=(1, 2)) > 0.3


def rule_of(name: str, params: dict[str, Any]) -> Rule:
    """A decision by the signal, written out."""
    if name == "switched_regimes":
        edges = np.array([-0.4307273, 0.4307273]) + 1

        def larger(x: np.ndarray) -> np.ndarray:
            column = 1 + 2 * (x[:, :1] > edges).sum(axis=1)
            return x[np.arange(len(x)), column] > x[np.arange(len(x)), column + 1]

        return larger
    if name == "leakage_blocks":
        data = made(name, tuple(params.items()))
        u = (data.test_inputs[data.test_mask] * np.repeat(2 * data.test_targets - 1, 10)).reshape(-1, 10).mean(axis=0)
        return lambda x: (x @ u).sum(axis=1) > 0
    rules: dict[str, Rule] = {
        "suppressor": lambda x: x[:, 0] > params["c"] * 0.8 / 0.5 * x[:, 1],
        "xai_tris": lambda x: tetrominoes(x, params["scenario"]),
        "leakage_onehot": lambda x: x.sum(axis=1) > 0,
        "blockmnist": digit,
    }
    return rules[name]


@every
def test_a_model_of_the_signal_passes(name: str, params: dict[str, Any]) -> None:
    data = made(name, tuple(params.items()))
    model = model_of(rule_of(name, params))
    if name != "blockmnist":  # the rule reads nine digits in ten, and the floor is .99
        assert all(follows(data, model).values()), follows(data, model)
        return
    (check,) = (c for c in data.interventions if c.at_least is not None)
    clean, changed = (
        accuracy(model, x, y) for x, y in ((data.test_inputs, data.test_targets), (check.inputs, check.targets))
    )
    assert clean > 0.85
    assert changed > 0.85


@every
def test_models_that_do_not_use_the_signal_fail_each_gate(name: str, params: dict[str, Any]) -> None:
    data = made(name, tuple(params.items()))
    flat = data.test_inputs.reshape(len(data.test_inputs), -1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untrained = nn.Sequential(nn.Flatten(), nn.Linear(flat.shape[1], 16), nn.ReLU(), nn.Linear(16, 2))
    blind = data.test_mask.reshape(flat.shape)

    def without_signal(x: np.ndarray) -> np.ndarray:
        return np.where(blind, 0, x.reshape(len(x), -1)).sum(axis=1) > 0

    known = {row.tobytes(): target for row, target in zip(np.where(blind, 0, flat), data.test_targets, strict=True)}

    def by_heart(x: np.ndarray) -> np.ndarray:
        rows = np.where(blind, 0, x.reshape(len(x), -1))
        return np.array([known.get(row.tobytes(), 0) for row in rows])

    faults = {
        "one class always": model_of(lambda x: np.zeros(len(x))),
        "untrained": as_predictor(untrained, returns="logit"),
        "sees all but the signal": model_of(without_signal),
        "knows the test samples by all but the signal": model_of(by_heart),
    }
    for fault, model in faults.items():
        passed = follows(data, model)
        assert not any(passed.values()), (fault, passed)


@every
def test_gates_on_the_data_are_called_so(name: str, params: dict[str, Any]) -> None:
    """A model that decides nothing passes them, so nothing of the model follows from them."""
    data = made(name, tuple(params.items()))
    for check in data.interventions:
        if check.at_most is not None:
            assert check.name.endswith("(data)")
            assert abs(accuracy(model_of(lambda x: np.zeros(len(x))), check.inputs, check.targets) - 0.5) < 0.05
