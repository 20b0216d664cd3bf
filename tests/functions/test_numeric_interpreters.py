"""Interpreters of numeric functions: what each must know exactly, and what it may ask."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from xaibench.core.errors import UnsupportedError
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation
from xaibench.core.registry import components, get
from xaibench.functions.numeric.baselines import places
from xaibench.functions.numeric.families import ATOMIC, FUNCTION_FAMILIES, equivalent
from xaibench.functions.numeric.formulas import TEST_INPUTS, Formula, find_numeric
from xaibench.functions.numeric.grammar_search import name_noise

DOMAIN = Domain()
CURVES = ("linear_interpolation", "polynomial", "nearest_neighbour", "decision_tree", "gaussian_process", "mean")


def interpret(
    name: str, call: Callable[[Any], Any], budget: int = 64, **parameters: Any
) -> tuple[Interpretation, CountedFunction]:
    probe = CountedFunction(call, "numeric", DOMAIN, budget)
    spec = get("interpreter", name)
    return spec.function(probe, DOMAIN, budget, np.random.default_rng(7), **spec.bind(parameters)), probe


def r2(answer: Interpretation, truth: np.ndarray, x: np.ndarray = TEST_INPUTS) -> float:
    return float(1 - ((np.asarray(answer.program(x)) - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


@pytest.mark.parametrize("name", [*CURVES, "grammar_search"])
@pytest.mark.parametrize("budget", [1, 2, 3, 5, 9, 40])
def test_any_budget_is_enough_for_an_answer_and_is_kept(name: str, budget: int) -> None:
    for call in (lambda x: 2 * x + 1, lambda x: np.full(len(x), np.nan), lambda x: np.zeros(len(x))):
        answer, probe = interpret(name, call, budget)
        assert 0 < probe.queries <= budget
        assert np.isfinite(answer.program(TEST_INPUTS)).all()


@pytest.mark.parametrize("name", [*CURVES, "grammar_search"])
def test_the_whole_budget_is_used_where_the_function_is_not_clear(name: str) -> None:
    f = find_numeric(seed=0, n=1, noise=1)[0]
    _, probe = interpret(name, f.call, 50)
    assert probe.queries == 50


def test_the_mean_is_the_mean_of_the_answers() -> None:
    answer, probe = interpret("mean", lambda x: x**2, 16)
    np.testing.assert_allclose(answer.program(TEST_INPUTS), np.mean(np.square(probe.asked)))


def test_interpolation_passes_through_every_probe_and_is_straight_between() -> None:
    answer, probe = interpret("linear_interpolation", lambda x: np.sin(x / 9), 16)
    x = np.sort(probe.asked)
    np.testing.assert_allclose(answer.program(x), np.sin(x / 9), atol=1e-12)
    middles = (x[1:] + x[:-1]) / 2
    np.testing.assert_allclose(answer.program(middles), (np.sin(x[1:] / 9) + np.sin(x[:-1] / 9)) / 2, atol=1e-12)


def test_the_nearest_neighbour_is_the_nearest() -> None:
    answer, probe = interpret("nearest_neighbour", np.exp, 20)
    x = np.asarray(probe.asked)
    nearest = x[np.abs(TEST_INPUTS[:, None] - x).argmin(axis=1)]
    np.testing.assert_allclose(answer.program(TEST_INPUTS), np.exp(nearest))


@pytest.mark.parametrize("degree", [0, 1, 3, 5])
def test_polynomials_are_found_with_their_degree(degree: int) -> None:
    coefficients = [3.0, -1.0, 2.0, 4.0, -2.0, 1.5][: degree + 1]
    noise = np.random.default_rng(1).normal(size=10_000)
    for spread in (0.0, 1e-3):

        def call(x: np.ndarray, spread: float = spread) -> np.ndarray:
            return np.polyval(coefficients, x / 64) + spread * noise[: len(x)]

        answer, _ = interpret("polynomial", call, 40)
        assert answer.facts["degree"] == degree
        np.testing.assert_allclose(answer.program(TEST_INPUTS), np.polyval(coefficients, TEST_INPUTS / 64), atol=4e-3)


def test_a_fixed_degree_is_least_squares_on_the_grid() -> None:
    answer, probe = interpret("polynomial", lambda x: np.abs(x), 16, degree=5)
    np.testing.assert_allclose(probe.asked, np.linspace(-128, 128, 16))
    fitted = np.polyfit(np.asarray(probe.asked) / 128, np.abs(probe.asked), 5)
    np.testing.assert_allclose(answer.program(TEST_INPUTS), np.polyval(fitted, TEST_INPUTS / 128), atol=1e-8)


def test_the_tree_is_that_of_sklearn() -> None:
    answer, probe = interpret("decision_tree", lambda x: np.sin(x / 20), 50)
    x = np.sort(probe.asked)[:, None]
    tree = DecisionTreeRegressor(min_samples_leaf=2, random_state=0).fit(x, np.sin(x[:, 0] / 20))
    np.testing.assert_allclose(answer.program(TEST_INPUTS), tree.predict(TEST_INPUTS[:, None]))


def test_the_gaussian_process_asks_where_it_knows_least() -> None:
    answer, probe = interpret("gaussian_process", lambda x: np.sin(x / 15), 48)
    assert r2(answer, np.sin(TEST_INPUTS / 15)) > 0.999
    gaps = np.diff(np.sort(probe.asked))
    random_gaps = np.diff(places(DOMAIN, 48, np.random.default_rng(0)))
    assert gaps.max() < 0.6 * random_gaps.max(), "it leaves no gaps"


def test_probes_hold_both_ends() -> None:
    for kind in ("random", "grid"):
        x = places(DOMAIN, 10, np.random.default_rng(0), kind)  # type: ignore[arg-type]
        assert (x[0], x[-1], len(x)) == (-128, 128, 10)
        assert (np.diff(x) > 0).all()


@pytest.mark.parametrize("family", [f.name for f in ATOMIC])
def test_grammar_search_knows_every_family(family: str) -> None:
    rng = np.random.default_rng(11)
    for _ in range(2):
        truth = Formula(family, FUNCTION_FAMILIES[family].draw(rng))
        answer, probe = interpret("grammar_search", truth, 128)
        assert probe.queries <= 128
        assert answer.family in equivalent(family, truth.parameters)
        assert answer.intervals == ()
        assert answer.facts["noise"] == "none"
        y = truth(TEST_INPUTS)
        x, y = TEST_INPUTS[np.isfinite(y)], y[np.isfinite(y)]
        if np.ptp(y) and family != "square_wave":
            assert r2(answer, y, x) > 0.98


@pytest.mark.parametrize(("low", "high"), [(-128.0, -20.0), (30.0, 128.0), (40.0, 60.0)])
@pytest.mark.parametrize("family", ["linear", "sine", "absolute", "polynomial"])
def test_grammar_search_finds_corruption(family: str, low: float, high: float) -> None:
    truth = Formula(family, FUNCTION_FAMILIES[family].draw(np.random.default_rng(3)))
    level = float(truth(TEST_INPUTS).mean())

    def call(x: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(abs(hash(float(x[0]))) % 2**32).normal(size=len(x))
        return np.where((x >= low) & (x <= high), level + 0.1 * noise, truth(x))

    answer, _ = interpret("grammar_search", call, 128)
    ((a, b),) = answer.intervals
    assert (a, b) == pytest.approx((low, high), abs=1.0)
    assert answer.family in {family, "sine"}


def test_sound_functions_are_called_sound() -> None:
    for f in find_numeric(seed=9, n=16, noise=0, corruption=0, approximation=0, compound=0):
        answer, _ = interpret("grammar_search", f.call)
        assert answer.intervals == ()


@pytest.mark.parametrize("noise", ["normal", "uniform", "poisson"])
def test_noise_is_named_by_its_moments(noise: str) -> None:
    rng = np.random.default_rng(2)
    draw = {
        "normal": lambda: rng.normal(size=120),
        "uniform": lambda: rng.uniform(-1, 1, 120),
        "poisson": lambda: rng.poisson(1, 120) - 1.0,
    }[noise]
    assert np.mean([name_noise(draw()) == noise for _ in range(200)]) > 0.9


def test_what_is_left_of_a_wrong_family_is_no_noise() -> None:
    assert name_noise(np.sin(np.linspace(0, 20, 120))) == "none"
    assert name_noise(np.random.default_rng(0).normal(size=120) * 20) == "none"
    assert name_noise(np.zeros(120)) == "none"


def test_sums_of_no_family_are_compounds_and_their_program_interpolates() -> None:
    def call(x: np.ndarray) -> np.ndarray:
        return 30 * np.sin(x / 9) + x**2 / 200

    answer, _ = interpret("grammar_search", call, 128)
    assert answer.family == "compound"
    assert r2(answer, call(TEST_INPUTS)) > 0.99


@pytest.mark.parametrize("name", ["gplearn", "pysindy"])
def test_missing_extras_say_how_to_get_them(name: str) -> None:
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(UnsupportedError) as caught:
        interpret(name, np.sin, 8)
    assert caught.value.hint == f"pip install {name}"


@pytest.mark.parametrize("name", ["gplearn", "pysindy"])
@pytest.mark.filterwarnings("ignore")
def test_extras_find_a_parabola(name: str) -> None:
    pytest.importorskip(name)
    answer, _ = interpret(name, lambda x: (x / 16) ** 2, 32)
    assert r2(answer, (TEST_INPUTS / 16) ** 2) > 0.95


def test_every_numeric_interpreter_is_tested_here() -> None:
    named = {s.name for s in components("interpreter") if "numeric" in s.needs}
    assert named >= {*CURVES, "grammar_search", "gplearn", "pysindy"}
