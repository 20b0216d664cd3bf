"""Numeric functions after FIND: the rates of our first trial, and what grammar search must find."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch

from xaibench.core.components import MetricSpec
from xaibench.core.program_specs import InterpreterSpec
from xaibench.core.programs.black_box import BlackBox, Interpretation
from xaibench.core.programs.evaluation import ProgramEvaluation
from xaibench.core.programs.interpreting import ask
from xaibench.core.registry import get
from xaibench.functions.numeric.approximation import fit_network, hidden
from xaibench.functions.numeric.formulas import DOMAIN, Formula, find_numeric

SEEDS = (41, 42, 43)
CLASSICAL = (
    "mean",
    "nearest_neighbour",
    "linear_interpolation",
    "polynomial",
    "decision_tree",
    "gaussian_process",
    "grammar_search",
)


def evaluate(
    name: str, functions: tuple[BlackBox, ...], budget: int, seed: int, **parameters: Any
) -> ProgramEvaluation:
    spec = cast(InterpreterSpec, get("interpreter", name))
    given = spec.bind(parameters)

    def one(i: int, budget: int) -> Interpretation:
        return ask(spec, given, functions, i, budget=budget, seed=seed, stream=name, passes=True).interpretation

    return ProgramEvaluation(functions, tuple(one(i, budget) for i in range(len(functions))), seed, budget, one)


def score(metric: str, ev: ProgramEvaluation, **parameters: Any) -> np.ndarray[Any, Any]:
    spec = cast(MetricSpec, get("metric", metric))
    found: np.ndarray[Any, Any] = spec.function(ev, **spec.bind(parameters))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_official_rates_are_those_of_the_specification_and_r2_separates_them(seed: int) -> None:
    functions = find_numeric(seed=seed, n=1000, approximation=0, noise=0, corruption=0)
    published = {
        ("mean", 16): 0.225,
        ("polynomial", 16): 0.662,
        ("linear_interpolation", 16): 0.673,
        ("linear_interpolation", 64): 0.728,
        ("linear_interpolation", 256): 0.777,
    }
    explained = {}
    for (name, budget), rate in published.items():
        ev = evaluate(name, functions, budget, seed, **({"degree": 5} if name == "polynomial" else {}))
        official, r2 = score("find_official", ev), score("r2", ev)
        explained[name, budget] = r2
        print(f"seed {seed} {name} {budget}: official {official.mean():.3f} ({rate}), r2 {np.nanmean(r2):.3f}")
        assert abs(official.mean() - rate) < 0.03
    # Where the official score lets the mean pass, it explains nothing; budgets differ by more than their errors.
    assert np.nanmean(explained["mean", 16]) < 0.01
    for few, many in (((16, 64)), ((64, 256))):
        gain = explained["linear_interpolation", many] - explained["linear_interpolation", few]
        gain = gain[np.isfinite(gain)]
        assert gain.mean() > 3 * gain.std() / np.sqrt(len(gain))
    both = explained["linear_interpolation", 16] - explained["mean", 16]
    assert np.nanmean(both) > 0.4


@pytest.mark.parametrize("seed", SEEDS)
def test_grammar_search_names_the_family_of_clean_functions(seed: int) -> None:
    functions = find_numeric(seed=seed, n=480, compound=0, approximation=0, noise=0, corruption=0)
    right = score("family_accuracy", evaluate("grammar_search", functions, 128, seed))
    names = np.array([f.family for f in functions])
    wrong = {n: round(1 - right[names == n].mean(), 3) for n in np.unique(names) if right[names == n].mean() < 1}
    print(f"seed {seed}: families {right.mean():.4f}, wrong {wrong}")
    assert right.mean() >= 0.9


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_grammar_search_finds_corrupted_intervals(seed: int, noise: float) -> None:
    made = find_numeric(seed=seed, n=240, compound=0, approximation=0, noise=noise, corruption=1)
    functions = tuple(f for f in made if f.intervals[0][1] - f.intervals[0][0] >= 0.05 * (DOMAIN.high - DOMAIN.low))
    found = score("interval_iou", evaluate("grammar_search", functions, 128, seed))
    print(f"seed {seed}, noise {noise}: IoU {found.mean():.3f} over {len(found)}, below .7: {(found < 0.7).mean():.3f}")
    assert found.mean() >= 0.7


def test_all_classical_interpreters_take_about_a_second_a_function() -> None:
    """1,000 functions on two cores in ten minutes are 1.2 s of one core for a function, all scores included."""
    functions = find_numeric(seed=24, n=64)
    total = 0.0
    for name in CLASSICAL:
        start = time.process_time()
        ev = evaluate(name, functions, 128, 24)
        asked = time.process_time() - start
        for metric in ("find_official", "r2", "local_error", "interval_iou", "family_accuracy", "query_efficiency"):
            score(metric, ev)
        spent = time.process_time() - start
        total += spent
        print(f"{name}: {1000 * asked / 64:.0f} ms to ask, {1000 * (spent - asked) / 64:.0f} ms to score, a function")
    assert total / len(functions) < 1.0


def test_networks_in_closed_form_are_as_close_as_trained_ones() -> None:
    """Against 2,000 steps of Adam (lr .01) on all weights of 1-64-1, best of a plain and a scaled input."""
    draws = np.random.default_rng(0)
    x = np.linspace(-128, 128, 2048)
    for family, parameters in (
        ("polynomial", {"coefficients": [0.5, -2.0, 3.0]}),
        ("absolute", {"scale": 3.0, "bias": 2.0}),
        ("tanh", {"amplitude": 5.0, "frequency": 0.2, "phase": 2.0, "bias": 1.0}),
        ("sine", {"amplitude": 5.0, "frequency": 0.1, "phase": 2.0, "bias": 1.0}),
        ("gaussian", {"mean": 10.0, "sd": 8.0}),
    ):
        formula: Callable[[Any], Any] = Formula(family, parameters)
        y = formula(x)
        network = fit_network(formula, DOMAIN, draws)
        ours = float(((network(x) - y) ** 2).sum() / ((y - y.mean()) ** 2).sum())
        trained = min(_adam(x / unit, (y - y.mean()) / y.std()) for unit in (1.0, 128.0))
        print(f"{family}: unexplained {ours:.2e} in closed form, {trained:.2e} by Adam")
        assert ours < max(2 * trained, 1e-3)
    assert hidden(x, network.weights, network.biases).shape == (2048, 64)


def _adam(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    inputs, targets = (torch.as_tensor(a, dtype=torch.float32)[:, None] for a in (x, y))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(2000):
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(net(inputs), targets)
        loss.backward()
        optimiser.step()
    return float(loss.detach())
