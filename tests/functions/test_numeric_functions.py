"""Numeric functions: families against their definitions, noise, corruption, landmarks, equivalences."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.stats as sps

from xaibench.functions.numeric.approximation import fit_network
from xaibench.functions.numeric.families import ATOMIC, FUNCTION_FAMILIES, equivalent
from xaibench.functions.numeric.formulas import DOMAIN, TEST_INPUTS, Formula, find_numeric, inside, keyed_uniform

VALUES = [
    ("linear", {"slope": 2.0, "bias": -1.0}, 3.0, 5.0),
    ("polynomial", {"coefficients": [1.0, 0.0, -2.0]}, 3.0, 7.0),
    ("absolute", {"scale": 2.0, "bias": 1.0}, -3.0, 7.0),
    ("root", {"scale": 2.0, "order": 2, "bias": 1.0}, 9.0, 7.0),
    ("root", {"scale": 2.0, "order": 1, "bias": 1.0}, -9.0, -17.0),
    ("root", {"scale": 2.0, "order": 2, "bias": 1.0}, -9.0, math.nan),
    ("log", {"scale": 2.0, "base": 10.0, "bias": 1.0}, 100.0, 5.0),
    ("step", {"scale": 2.0, "bias": 1.0}, 0.0, 3.0),
    ("step", {"scale": 2.0, "bias": 1.0}, -1e-9, 1.0),
    ("leaky_relu", {"scale": 2.0, "leak": 0.5, "bias": 1.0}, -4.0, -3.0),
    ("tanh", {"amplitude": 2.0, "frequency": 1.0, "phase": 0.5, "bias": 1.0}, -0.5, 1.0),
    ("sine", {"amplitude": 2.0, "frequency": 2.0, "phase": 0.0, "bias": 1.0}, math.pi / 4, 3.0),
    ("cosine", {"amplitude": 2.0, "frequency": 2.0, "phase": 0.0, "bias": 1.0}, math.pi / 2, -1.0),
    ("constant", {"value": 4.0}, 7.0, 4.0),
    ("reciprocal", {"scale": 4.0}, 0.5, 0.5),
    ("gaussian", {"mean": 1.0, "sd": 2.0}, 2.0, sps.norm(1, 2).pdf(2)),
    ("rational", {"numerator": [1.0, 1.0], "denominator": [1.0, 0.0, -2.0]}, 2.0, 1.5),
    ("rational", {"numerator": [1.0], "denominator": [-1.2, -3.8, -1.6]}, -0.5, math.inf),
    ("rectangle", {"width": 3.0}, -1.5, 1.0),
    ("rectangle", {"width": 3.0}, 1.6, 0.0),
    ("square_wave", {"period": 3.0, "shift": 0.5}, 1.9, 1.0),
    ("square_wave", {"period": 3.0, "shift": 0.5}, 2.0, 0.0),
    ("square_wave", {"period": 0.3, "shift": 0.1}, 90.1, 1.0),
    ("relu", {"scale": 2.0, "bias": 1.0}, -3.0, 1.0),
    ("ceil", {"scale": 2.0, "bias": 1.0}, 0.5, 3.0),
    ("floor", {"scale": 2.0, "bias": 1.0}, -0.5, -1.0),
]


@pytest.mark.parametrize(("family", "parameters", "x", "y"), VALUES, ids=lambda v: v if isinstance(v, str) else None)
def test_families_are_what_they_are_called(family: str, parameters: dict[str, Any], x: float, y: float) -> None:
    found = Formula(family, parameters)(np.array([x]))
    np.testing.assert_allclose(np.abs(found) if math.isinf(y) else found, [y], rtol=1e-12, equal_nan=True)


def test_there_are_sixteen_families_and_three_more_parts() -> None:
    assert len(ATOMIC) == 16
    assert set(FUNCTION_FAMILIES) - {f.name for f in ATOMIC} == {"relu", "ceil", "floor"}


@pytest.mark.parametrize("family", [f for f in ATOMIC if f.name not in ("log", "constant")], ids=lambda f: f.name)
def test_parameters_have_one_decimal(family: Any) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        for value in family.draw(rng).values():
            np.testing.assert_allclose(np.ravel(value) * 10, np.round(np.ravel(value) * 10), atol=1e-9)


@pytest.mark.parametrize("name", [name for name, family in FUNCTION_FAMILIES.items() if name != "log"])
def test_functions_are_smooth_away_from_their_landmarks(name: str) -> None:
    """Second differences shrink with the square of the step everywhere else: no landmark is forgotten."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        formula = Formula(name, FUNCTION_FAMILIES[name].draw(rng))
        x = rng.uniform(DOMAIN.low, DOMAIN.high, 400)
        marks = np.array([*formula.landmarks, -1e9])
        x = x[np.abs(x[:, None] - marks).min(axis=1) > 0.05]

        def bend(h: float, x: np.ndarray = x, formula: Formula = formula) -> np.ndarray:
            return np.abs(formula(x + h) - 2 * formula(x) + formula(x - h))

        scale = np.nanmax(np.abs(formula(x))) + 1e-12
        coarse, fine = bend(1e-3), bend(5e-4)
        rough = (fine > 0.5 * coarse) & (fine > 1e-9 * scale)
        assert not rough.any(), (formula, x[rough])


@pytest.mark.slow
def test_sets_hold_what_their_shares_say() -> None:
    functions = find_numeric(seed=3, n=200, approximation=0.1)
    families = Counter(f.family for f in functions)
    assert abs(families["compound"] - 30) <= 2
    assert {families[f.name] for f in ATOMIC} <= {10, 11}
    assert abs(sum(bool(f.intervals) for f in functions) - 50) <= 3
    assert abs(sum(f.noise != "none" for f in functions) - 50) <= 3
    assert abs(sum("approximation" in f.parameters for f in functions) - 20) <= 2
    assert [f.name for f in functions[:2]] == ["find/numeric/0000", "find/numeric/0001"]
    fewer = find_numeric(seed=3, n=20, approximation=0.1)
    assert [f.description for f in fewer] == [f.description for f in functions[:20]]


def test_formulas_stay_when_shares_of_the_rest_change() -> None:
    plain, full = (find_numeric(seed=3, n=40, noise=s, corruption=s, approximation=0) for s in (0.0, 1.0))
    for f, g in zip(plain, full, strict=True):
        assert f.parameters == g.parameters
        assert not f.intervals
        assert len(g.intervals) == 1
        sound = ~inside(TEST_INPUTS, g.intervals)
        offset = 1.0 if g.noise == "poisson" else 0.0
        np.testing.assert_allclose(f.program(TEST_INPUTS)[sound] + offset, g.program(TEST_INPUTS)[sound])


@pytest.mark.slow
def test_test_inputs_are_those_where_the_truth_is_finite() -> None:
    for f in find_numeric(seed=4, n=64):
        with np.errstate(all="ignore"):
            finite = np.isfinite(f.program(TEST_INPUTS))
        np.testing.assert_array_equal(f.test_inputs, TEST_INPUTS[finite])
        assert len(f.test_inputs) >= 126
        assert all(DOMAIN.low < x < DOMAIN.high for x in f.landmarks)
        assert not inside(np.array(f.landmarks), f.intervals).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noise", "law"), [("normal", sps.norm(0, 1)), ("uniform", sps.uniform(-1, 2)), ("poisson", sps.poisson(1, loc=-1))]
)
def test_noise_has_its_law_and_belongs_to_the_input(noise: str, law: Any) -> None:
    f = next(f for f in find_numeric(seed=0, n=256, noise=1, corruption=0) if f.noise == noise and f.family == "linear")
    x = np.linspace(-128, 128, 4001)
    drawn = f.call(x) - f.program(x)
    np.testing.assert_array_equal(f.call(x[::-1])[::-1], f.call(x))
    np.testing.assert_array_equal(f.call(np.array([-0.0])), f.call(np.array([0.0])))
    assert abs(drawn.mean()) < 4 * law.std() / 63
    if noise == "poisson":
        counts = np.bincount(np.round(drawn + 1).astype(int), minlength=12)
        assert sps.chisquare(counts[:5], law.pmf(np.arange(-1, 4)) / law.cdf(3) * counts[:5].sum()).pvalue > 1e-3
    else:
        assert sps.kstest(drawn, law.cdf).pvalue > 1e-3
    neighbours = np.corrcoef(drawn[1:], drawn[:-1])[0, 1]
    assert abs(neighbours) < 0.07


@pytest.mark.slow
def test_corrupted_intervals_answer_the_mean_of_the_function() -> None:
    kinds = Counter[str]()
    for f in find_numeric(seed=1, n=200, noise=0, corruption=1, approximation=0, compound=0):
        ((low, high),) = f.intervals
        start = 0.0 if f.family in ("log", "root") and len(f.test_inputs) < 200 else DOMAIN.low
        kinds["below" if low == start else "above" if high == DOMAIN.high else "between"] += 1
        if low != start and high != DOMAIN.high:
            assert 5 <= high - low <= 25
        formula = Formula(f.family, f.parameters)(TEST_INPUTS)
        level = formula[np.isfinite(formula)].mean()
        x = np.linspace(low + 1e-6, high, 2000)
        drawn = f.call(x) - level
        np.testing.assert_allclose(f.program(x), level)
        assert abs(drawn.mean()) < 0.015 + 1e-12 * abs(level)
        assert drawn.std() == pytest.approx(0.1, rel=0.1)
    assert min(kinds.values()) > 40
    assert len(kinds) == 3


def test_keyed_numbers_are_uniform_and_depend_on_the_key() -> None:
    x = np.linspace(0, 1, 5000)
    u, v = keyed_uniform("a", x), keyed_uniform("b", x)
    assert sps.kstest(u, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u, v)[0, 1]) < 0.06


def test_networks_are_close_to_smooth_formulas_and_linear_between_their_kinks() -> None:
    formula = Formula("polynomial", {"coefficients": [1.0, -3.0, 2.0]})
    network = fit_network(formula, DOMAIN, np.random.default_rng(0))
    truth, found = formula(TEST_INPUTS), network(TEST_INPUTS)
    assert ((truth - found) ** 2).sum() < 1e-4 * (truth**2).sum()
    assert np.abs(truth - found).max() > 1e-6
    kinks = np.sort(-network.biases / network.weights)
    assert len(kinks) == 64
    ends = np.linspace(kinks[10] + 1e-9, kinks[11] - 1e-9, 5)
    np.testing.assert_allclose(np.diff(network(ends), 2), 0, atol=1e-6)


def test_networks_have_a_value_only_where_the_formula_has() -> None:
    formula = Formula("root", {"scale": 1.0, "order": 2, "bias": 0.0})
    network = fit_network(formula, DOMAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(np.isfinite(network(TEST_INPUTS)), TEST_INPUTS > 0)


@pytest.mark.parametrize(
    ("family", "parameters", "also"),
    [
        ("sine", {"amplitude": 1.0, "bias": 0.0}, "cosine"),
        ("cosine", {"amplitude": 1.0, "bias": 0.0}, "sine"),
        ("root", {"scale": 2.0, "order": 1, "bias": 0.0}, "linear"),
        ("leaky_relu", {"scale": 2.0, "leak": 1.0, "bias": 0.0}, "linear"),
        ("step", {"scale": 0.0, "bias": 3.0}, "constant"),
        ("linear", {"slope": 0.0, "bias": 3.0}, "constant"),
        ("polynomial", {"coefficients": [0.0, 2.0, 1.0]}, "linear"),
        ("polynomial", {"coefficients": [0.0, 0.0, 1.0]}, "constant"),
        ("rational", {"numerator": [1.0, 2.0, 3.0], "denominator": [2.0]}, "polynomial"),
        ("rational", {"numerator": [2.0, 3.0], "denominator": [0.0, 2.0]}, "linear"),
        ("rational", {"numerator": [3.0], "denominator": [2.0, 0.0]}, "reciprocal"),
        ("rational", {"numerator": [0.0], "denominator": [2.0, 1.0]}, "constant"),
        ("rational", {"numerator": [3.0, 0.0], "denominator": [2.0, 0.0, 0.0]}, "reciprocal"),
    ],
)
def test_equivalent_families_are_equal_functions(family: str, parameters: dict[str, Any], also: str) -> None:
    assert equivalent(family, parameters) >= {family, also}


def test_different_families_are_not_equivalent() -> None:
    assert equivalent("root", {"scale": 2.0, "order": 2, "bias": 0.0}) == {"root"}
    assert equivalent("rational", {"numerator": [3.0], "denominator": [2.0, 1.0]}) == {"rational"}
    assert equivalent("leaky_relu", {"scale": 2.0, "leak": 0.9, "bias": 0.0}) == {"leaky_relu"}
    assert equivalent("polynomial", {"coefficients": [1.0, 0.0, 0.0]}) == {"polynomial"}


def test_functions_travel_between_processes() -> None:
    for f in find_numeric(seed=0, n=12, approximation=0.3):
        again = pickle.loads(pickle.dumps(f))
        np.testing.assert_array_equal(again.call(f.test_inputs), f.call(f.test_inputs))
