"""Interpreters from symbolic regression libraries that are not installed with this package."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np
from pydantic import NonNegativeFloat, PositiveInt

from xaibench.core.errors import UnsupportedError
from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation, Values
from xaibench.core.types import Array
from xaibench.functions.numeric.baselines import ProbePlacement, asked, constant_answer, places
from xaibench.functions.numeric.families import format_number
from xaibench.functions.numeric.grammar import INPUT_SCALE


def import_extra(module: str) -> Any:
    """Import a module that is an extra.

    Raises
    ------
    UnsupportedError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UnsupportedError(f"{package} cannot be imported: {error}", f"pip install {package}") from error


@interpreter("gplearn", takes={"numeric"})
def gplearn(
    f: CountedFunction,
    domain: Domain,
    budget: int,
    draws: np.random.Generator,
    *,
    population: PositiveInt = 300,
    generations: PositiveInt = 12,
    probes: ProbePlacement = "random",
) -> Interpretation:
    """Symbolic regression by genetic programming (Koza 1992), by the package gplearn.

    Inputs are divided by 128 and outputs by their largest magnitude, since its constants are drawn
    from [-1, 1].

    Parameters
    ----------
    population, generations : int
    probes : {"random", "grid"}
    """
    genetic = import_extra("gplearn.genetic")
    x, y = asked(f, places(domain, budget, draws, probes))
    scale = float(np.abs(y).max()) if len(y) else 0.0
    if scale == 0:
        return constant_answer(0.0)
    model = genetic.SymbolicRegressor(
        population_size=population,
        generations=generations,
        function_set=("add", "sub", "mul", "div", "sqrt", "log", "abs", "sin", "cos"),
        parsimony_coefficient=1e-3,
        random_state=int(draws.integers(2**31)),
    ).fit(x[:, None] / INPUT_SCALE, y / scale)
    found = model._program
    return Interpretation(
        partial(_evolved, model=model, scale=scale),
        f"f(x) = {format_number(scale)} {found} with X0 = x / 128",
        facts={"size": int(found.length_), "formula": str(found), "scale": scale},
    )


def _evolved(inputs: Values, *, model: Any, scale: float) -> Array:
    return np.asarray(scale * model.predict(np.asarray(inputs, dtype=np.float64)[:, None] / INPUT_SCALE))


@interpreter("pysindy", takes={"numeric"})
def pysindy(
    f: CountedFunction,
    domain: Domain,
    budget: int,
    draws: np.random.Generator,
    *,
    threshold: NonNegativeFloat = 0.05,
    degree: PositiveInt = 5,
    waves: PositiveInt = 10,
    probes: ProbePlacement = "random",
) -> Interpretation:
    """Sparse regression on a library of terms by sequential thresholding (Brunton et al. 2016), by the package pysindy.

    Terms are powers of x / 128, sines and cosines of multiples of ``pi x / 128``, |x| and [x >= 0].

    Parameters
    ----------
    threshold : float
        Coefficients below it are set to 0, in units of the largest answer.
    degree, waves : int
        Highest power, and highest multiple.
    probes : {"random", "grid"}
    """
    optimizers = import_extra("pysindy.optimizers")
    x, y = asked(f, places(domain, budget, draws, probes))
    scale = float(np.abs(y).max()) if len(y) else 0.0
    if scale == 0:
        return constant_answer(0.0)
    model = optimizers.STLSQ(threshold=threshold).fit(terms(x, degree, waves), y[:, None] / scale)
    coefficients = scale * np.ravel(model.coef_)
    nonzero = np.flatnonzero(coefficients)
    names = [*(f"(x/128)^{k}" for k in range(degree + 1)), "|x|/128", "[x >= 0]"]
    names += [f"{name}({k} pi x/128)" for name in ("sin", "cos") for k in range(1, waves + 1)]
    return Interpretation(
        partial(_sparse, coefficients=coefficients, degree=degree, waves=waves),
        "f(x) = " + (" + ".join(f"{format_number(coefficients[k])} {names[k]}" for k in nonzero) or "0"),
        facts={"size": len(nonzero)},
    )


def terms(x: Array, degree: int, waves: int) -> Array:
    """The library of terms (n, degree + 3 + 2 waves)."""
    u = x[:, None] / INPUT_SCALE
    angles = np.pi * u * np.arange(1, waves + 1)
    return np.hstack([u ** np.arange(degree + 1), np.abs(u), u >= 0, np.sin(angles), np.cos(angles)])


def _sparse(inputs: Values, *, coefficients: Array, degree: int, waves: int) -> Array:
    return np.asarray(terms(np.asarray(inputs, dtype=np.float64), degree, waves) @ coefficients)
