"""Baseline interpreters of numeric functions: mean, interpolation, polynomials, decision trees.

``facts["size"]`` of an interpretation counts the numbers that its program holds.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from pydantic import NonNegativeInt, PositiveInt

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation, Values
from xaibench.core.types import Array
from xaibench.functions.numeric.families import format_number

ProbePlacement = Literal["random", "grid"]


def places(domain: Domain, n: int, draws: np.random.Generator, probes: ProbePlacement = "random") -> Array:
    """Where to ask: n inputs (n,), ascending.

    Parameters
    ----------
    domain : Domain
    n : int
    draws : numpy.random.Generator
    probes : {"random", "grid"}
        Uniform draws and both ends of the domain, or equal steps from one end to the other.
    """
    if n < 3 or probes == "grid":
        return np.linspace(domain.low, domain.high, n) if n > 1 else np.full(n, (domain.low + domain.high) / 2)
    return np.sort(np.concatenate([[domain.low, domain.high], draws.uniform(domain.low, domain.high, n - 2)]))


def asked(f: CountedFunction, x: Array) -> tuple[Array, Array]:
    """Ask, and return the inputs (m,) that have an answer, and the answers (m,)."""
    y = np.asarray(f(x), dtype=np.float64)
    return x[np.isfinite(y)], y[np.isfinite(y)]


def level(inputs: Values, *, value: float) -> Array:
    """The same number everywhere."""
    return np.full(len(inputs), value)


def interpolated(inputs: Values, *, x: Array, y: Array) -> Array:
    """Straight lines between points, level beyond them."""
    return np.asarray(np.interp(np.asarray(inputs), x, y))


def nearest(inputs: Values, *, x: Array, y: Array) -> Array:
    """Value of the nearest point; of the lower one where two are as near."""
    values: Array = y[np.searchsorted((x[1:] + x[:-1]) / 2, np.asarray(inputs))]
    return values


def chebyshev(inputs: Values, *, coefficients: Array, low: float, high: float) -> Array:
    """Chebyshev series on [low, high]."""
    x = (2 * np.asarray(inputs) - low - high) / (high - low)
    return np.asarray(np.polynomial.chebyshev.chebval(x, coefficients))


def constant_answer(value: float) -> Interpretation:
    """A level as an interpretation."""
    return Interpretation(
        partial(level, value=value), f"f(x) = {format_number(value)}", "constant", facts={"size": 1, "value": value}
    )


@interpreter("mean", takes={"numeric"}, control=True)
def mean(
    f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator, *, probes: ProbePlacement = "random"
) -> Interpretation:
    """Mean of the answers: the baseline that FIND's own score lets pass for one function in five.

    Parameters
    ----------
    probes : {"random", "grid"}
    """
    _, y = asked(f, places(domain, budget, draws, probes))
    return constant_answer(float(y.mean()) if len(y) else 0.0)


@interpreter("nearest_neighbour", takes={"numeric"})
def nearest_neighbour(
    f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator, *, probes: ProbePlacement = "random"
) -> Interpretation:
    """Answer for the nearest probe.

    Parameters
    ----------
    probes : {"random", "grid"}
    """
    x, y = asked(f, places(domain, budget, draws, probes))
    if not len(x):
        return constant_answer(0.0)
    return Interpretation(
        partial(nearest, x=x, y=y), f"a table of {len(x)} points, nearest", facts={"size": 2 * len(x)}
    )


@interpreter("linear_interpolation", takes={"numeric"})
def linear_interpolation(
    f: CountedFunction, domain: Domain, budget: int, draws: np.random.Generator, *, probes: ProbePlacement = "random"
) -> Interpretation:
    """Straight lines between probes, level beyond them.

    Parameters
    ----------
    probes : {"random", "grid"}
    """
    x, y = asked(f, places(domain, budget, draws, probes))
    if not len(x):
        return constant_answer(0.0)
    return Interpretation(
        partial(interpolated, x=x, y=y), f"a table of {len(x)} points, interpolated", facts={"size": 2 * len(x)}
    )


@interpreter("polynomial", takes={"numeric"})
def polynomial(
    f: CountedFunction,
    domain: Domain,
    budget: int,
    draws: np.random.Generator,
    *,
    degree: NonNegativeInt | None = None,
    max_degree: PositiveInt = 10,
    probes: ProbePlacement = "grid",
) -> Interpretation:
    """Polynomial by least squares.

    Parameters
    ----------
    degree : int, optional
        Default: the one up to ``max_degree`` with the least BIC, ``n log(rss / n) + (degree + 1) log n``
        (Schwarz 1978).
    max_degree : int
    probes : {"random", "grid"}
    """
    x, y = asked(f, places(domain, budget, draws, probes))
    if not len(x):
        return constant_answer(0.0)
    top = min(max_degree if degree is None else degree, len(x) - 1)
    design = np.polynomial.chebyshev.chebvander((2 * x - domain.low - domain.high) / (domain.high - domain.low), top)
    q, _ = np.linalg.qr(design)
    if degree is None:
        residuals = y[:, None] - np.cumsum(q * (q.T @ y), axis=1)
        rss = np.maximum((residuals**2).sum(axis=0), len(y) * (1e-12 * np.abs(y).max()) ** 2 + 1e-300)
        bic = len(y) * np.log(rss / len(y)) + np.arange(1, top + 2) * np.log(len(y))
        top = int(np.argmin(bic[: max(1, len(y) - 1)]))
    coefficients = np.linalg.lstsq(design[:, : top + 1], y, rcond=None)[0]
    return Interpretation(
        partial(chebyshev, coefficients=coefficients, low=domain.low, high=domain.high),
        f"a polynomial of degree {top}",
        ("constant", "linear", "polynomial")[min(top, 2)],
        facts={"size": top + 1, "degree": top},
    )


@interpreter("decision_tree", takes={"numeric"})
def decision_tree(
    f: CountedFunction,
    domain: Domain,
    budget: int,
    draws: np.random.Generator,
    *,
    min_samples_leaf: Annotated[int, Ge(1)] = 2,
    probes: ProbePlacement = "random",
) -> Interpretation:
    """Regression tree (Breiman et al. 1984): a level in each of the intervals that it finds.

    Parameters
    ----------
    min_samples_leaf : int
    probes : {"random", "grid"}
    """
    from sklearn.tree import DecisionTreeRegressor

    x, y = asked(f, places(domain, budget, draws, probes))
    if not len(x):
        return constant_answer(0.0)
    tree = DecisionTreeRegressor(min_samples_leaf=min_samples_leaf, random_state=0).fit(x[:, None], y)
    cuts = np.sort(tree.tree_.threshold[tree.tree_.children_left >= 0])
    edges = np.concatenate([[domain.low], cuts, [domain.high]])
    levels = tree.predict(((edges[1:] + edges[:-1]) / 2)[:, None])
    return Interpretation(
        partial(pieces, cuts=cuts, levels=levels), f"{len(levels)} levels", facts={"size": len(cuts) + len(levels)}
    )


def pieces(inputs: Values, *, cuts: Array, levels: Array) -> Array:
    """A level between each two successive cuts; a cut belongs to the left."""
    values: Array = levels[np.searchsorted(cuts, np.asarray(inputs))]
    return values
