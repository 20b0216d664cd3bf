"""The families of numeric functions: how their parameters are drawn, what they compute, where they are not smooth.

Parameters are plain values under fixed names, so that a set of functions and a fit speak of the same thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xaibench.core.types import Array

Parameters = Mapping[str, Any]
LANDMARK_RANGE = 128.0
"""Landmarks are listed for |x| up to this."""


@dataclass(frozen=True)
class NumericFamily:
    """A family of functions of one number.

    Attributes
    ----------
    name : str
    draw : callable
        (generator) -> parameters, rounded to one decimal.
    value : callable
        (x, parameters) -> f(x), NaN or infinite where it is not defined.
    text : callable
        parameters -> formula.
    landmarks : callable
        parameters -> kinks, jumps and poles.
    """

    name: str
    draw: Callable[[np.random.Generator], Parameters]
    value: Callable[[Array, Parameters], Array]
    text: Callable[[Parameters], str]
    landmarks: Callable[[Parameters], list[float]] = lambda p: []


def format_number(value: float) -> str:
    """A number as formulas show it, with up to six digits."""
    return f"{value:.6g}"


def plus(value: float) -> str:
    """A summand at the end of a formula."""
    return f" {'-' if value < 0 else '+'} {format_number(abs(value))}"


def series(coefficients: list[float]) -> str:
    """A polynomial, the coefficient of the highest power first."""
    top = len(coefficients) - 1
    powers = ["" if top == i else "x" if top - i == 1 else f"x^{top - i}" for i in range(top + 1)]
    terms = [f"{format_number(c)} {power}".strip() for c, power in zip(coefficients, powers, strict=True) if c]
    return " + ".join(terms).replace("+ -", "- ") or "0"


def polynomial_value(x: Array, coefficients: list[float]) -> Array:
    """Value of a polynomial, the coefficient of the highest power first."""
    return np.asarray(np.polyval(np.asarray(coefficients, dtype=np.float64), x))


def _u(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 1) + 0.0  # no negative zero


def _us(rng: np.random.Generator, low: float, high: float, n: int) -> list[float]:
    return [_u(rng, low, high) for _ in range(n)]


def _scaled(rng: np.random.Generator, **more: Any) -> Parameters:
    return {"scale": _u(rng, -30, 30), **more, "bias": _u(rng, -30, 30)}


def _wave(rng: np.random.Generator) -> Parameters:
    return {
        "amplitude": round(float(rng.choice(np.linspace(-10, 10, 100))), 1),
        "frequency": _u(rng, 0.1, 2 * math.pi),
        "phase": _u(rng, 0.1, 2 * math.pi),
        "bias": _u(rng, -30, 30),
    }


def _base(rng: np.random.Generator) -> float:
    """A base of a logarithm; 1 is none."""
    while (base := _u(rng, 1, 10)) == 1:
        pass
    return base


def _reciprocal(rng: np.random.Generator) -> Parameters:
    while (scale := _u(rng, -10, 10)) == 0:
        pass
    return {"scale": scale}


def _rational(rng: np.random.Generator) -> Parameters:
    numerator = _us(rng, -5, 5, int(rng.integers(0, 5)) + 1)
    order = int(rng.integers(0, 6))
    while not any(denominator := _us(rng, -5, 5, order + 1)):
        pass
    return {"numerator": numerator, "denominator": denominator}


def _ratio(x: Array, p: Parameters) -> Array:
    """A rational function; a denominator that is 0 but for rounding is 0."""
    top, bottom = polynomial_value(x, p["numerator"]), polynomial_value(x, p["denominator"])
    rounding = 1e-12 * polynomial_value(np.abs(x), [abs(c) for c in p["denominator"]])
    return np.asarray(top / np.where(np.abs(bottom) <= rounding, 0.0, bottom))


def _square(x: Array, p: Parameters) -> Array:
    """A square wave that is 1 in the first half of each period; its jumps are exact to nine digits of a period."""
    turns = (x - p["shift"]) / p["period"]
    part = np.round(turns - np.floor(turns), 9) % 1
    return np.asarray(part < 0.5, dtype=np.float64)


def poles(denominator: list[float]) -> list[float]:
    """Real roots, ascending; those of a pair that rounding made complex count as one."""
    roots = np.roots(np.trim_zeros(np.asarray(denominator, dtype=np.float64), "f"))
    real = np.abs(roots.imag) <= 1e-9 * np.maximum(1, np.abs(roots))
    return sorted({round(float(r), 9) for r in roots.real[real]})


def switches(period: float, shift: float) -> list[float]:
    """Where a square wave jumps."""
    half = period / 2
    first, last = math.ceil((-LANDMARK_RANGE - shift) / half), math.floor((LANDMARK_RANGE - shift) / half)
    return [shift + k * half for k in range(first, last + 1)]


def _gaussian(x: Array, p: Parameters) -> Array:
    z: Array = np.exp(-0.5 * ((x - p["mean"]) / p["sd"]) ** 2) / (p["sd"] * math.sqrt(2 * math.pi))
    return z


def _wave_text(name: str) -> Callable[[Parameters], str]:
    return lambda p: (
        f"{format_number(p['amplitude'])} {name}({format_number(p['frequency'])} x{plus(p['phase'])}){plus(p['bias'])}"
    )


def _scaled_text(shape: str) -> Callable[[Parameters], str]:
    return lambda p: f"{format_number(p['scale'])} {shape}{plus(p['bias'])}"


def _whole(_p: Parameters) -> list[float]:
    return [float(k) for k in range(-int(LANDMARK_RANGE), int(LANDMARK_RANGE) + 1)]


def _zero(_p: Parameters) -> list[float]:
    return [0.0]


ATOMIC = (
    NumericFamily(
        "linear",
        lambda rng: {"slope": _u(rng, -10, 10), "bias": _u(rng, -10, 10)},
        lambda x, p: p["slope"] * x + p["bias"],
        lambda p: f"{format_number(p['slope'])} x{plus(p['bias'])}",
    ),
    NumericFamily(
        "polynomial",
        lambda rng: {"coefficients": _us(rng, -5, 5, int(rng.integers(2, 6)) + 1)},
        lambda x, p: polynomial_value(x, p["coefficients"]),
        lambda p: series(p["coefficients"]),
    ),
    NumericFamily("absolute", _scaled, lambda x, p: p["scale"] * np.abs(x) + p["bias"], _scaled_text("|x|"), _zero),
    NumericFamily(
        "root",
        lambda rng: _scaled(rng, order=int(rng.integers(1, 3))),
        lambda x, p: p["scale"] * (x if p["order"] == 1 else np.sqrt(x)) + p["bias"],
        lambda p: f"{format_number(p['scale'])} {'x' if p['order'] == 1 else 'sqrt(x)'}{plus(p['bias'])}",
        lambda p: [] if p["order"] == 1 else [0.0],
    ),
    NumericFamily(
        "log",
        lambda rng: _scaled(rng, base=_base(rng)),
        lambda x, p: p["scale"] * np.log(x) / math.log(p["base"]) + p["bias"],
        lambda p: f"{format_number(p['scale'])} log_{format_number(p['base'])}(x){plus(p['bias'])}",
        _zero,
    ),
    NumericFamily("step", _scaled, lambda x, p: p["scale"] * (x >= 0) + p["bias"], _scaled_text("[x >= 0]"), _zero),
    NumericFamily(
        "leaky_relu",
        lambda rng: _scaled(rng, leak=_u(rng, 0, 1)),
        lambda x, p: p["scale"] * np.where(x > 0, x, p["leak"] * x) + p["bias"],
        lambda p: f"{format_number(p['scale'])} (x if x > 0 else {format_number(p['leak'])} x){plus(p['bias'])}",
        _zero,
    ),
    NumericFamily(
        "tanh",
        _wave,
        lambda x, p: p["amplitude"] * np.tanh(p["frequency"] * x + p["phase"]) + p["bias"],
        _wave_text("tanh"),
    ),
    NumericFamily(
        "sine",
        _wave,
        lambda x, p: p["amplitude"] * np.sin(p["frequency"] * x + p["phase"]) + p["bias"],
        _wave_text("sin"),
    ),
    NumericFamily(
        "cosine",
        _wave,
        lambda x, p: p["amplitude"] * np.cos(p["frequency"] * x + p["phase"]) + p["bias"],
        _wave_text("cos"),
    ),
    NumericFamily(
        "constant",
        lambda rng: {"value": float(rng.integers(-100, 100))},
        lambda x, p: np.full(np.shape(x), p["value"]),
        lambda p: format_number(p["value"]),
    ),
    NumericFamily(
        "reciprocal",
        _reciprocal,
        lambda x, p: 1 / (p["scale"] * x),
        lambda p: f"1 / ({format_number(p['scale'])} x)",
        _zero,
    ),
    NumericFamily(
        "gaussian",
        lambda rng: {"mean": _u(rng, -50, 50), "sd": _u(rng, 1, 10)},
        _gaussian,
        lambda p: f"density of N({format_number(p['mean'])}, {format_number(p['sd'])}^2) at x",
    ),
    NumericFamily(
        "rational",
        _rational,
        _ratio,
        lambda p: f"({series(p['numerator'])}) / ({series(p['denominator'])})",
        lambda p: poles(p["denominator"]),
    ),
    NumericFamily(
        "rectangle",
        lambda rng: {"width": _u(rng, 1, 10)},
        lambda x, p: (np.abs(x) <= p["width"] / 2).astype(np.float64),
        lambda p: f"1 if |x| <= {format_number(p['width'] / 2)} else 0",
        lambda p: [-p["width"] / 2, p["width"] / 2],
    ),
    NumericFamily(
        "square_wave",
        lambda rng: {"period": _u(rng, 1, 10), "shift": _u(rng, -5, 5)},
        _square,
        lambda p: (
            f"1 if (x{plus(-p['shift'])}) mod {format_number(p['period'])} < {format_number(p['period'] / 2)} else 0"
        ),
        lambda p: switches(p["period"], p["shift"]),
    ),
)
"""The sixteen families that functions are drawn from with equal chances."""

_PARTS = (
    NumericFamily(
        "relu", _scaled, lambda x, p: p["scale"] * np.maximum(x, 0) + p["bias"], _scaled_text("max(x, 0)"), _zero
    ),
    NumericFamily("ceil", _scaled, lambda x, p: p["scale"] * np.ceil(x) + p["bias"], _scaled_text("ceil(x)"), _whole),
    NumericFamily(
        "floor", _scaled, lambda x, p: p["scale"] * np.floor(x) + p["bias"], _scaled_text("floor(x)"), _whole
    ),
)
FUNCTION_FAMILIES: Mapping[str, NumericFamily] = {family.name: family for family in (*ATOMIC, *_PARTS)}
COMPOUND_PARTS = ("linear", "polynomial", "step", "relu", "constant", "ceil", "floor", "rectangle", "square_wave")
"""What compounds are made of."""

EQUIVALENCES = (
    ("sine", "cosine", "always: the phase is free"),
    ("root", "linear", "order 1"),
    ("rational", "polynomial", "the denominator is a number"),
    ("rational", "reciprocal", "a number over a multiple of x"),
    ("polynomial", "linear", "no power above 1 has a coefficient"),
    ("linear", "constant", "the slope is 0"),
    ("leaky_relu", "linear", "the leak is 1"),
    ("absolute, root, log, step, leaky_relu, tanh, sine, cosine, rational", "constant", "the scale is 0"),
)
"""Which other name is right as well for a function, and when: on the probed domain these cannot be distinguished."""


def equivalent(name: str, parameters: Parameters) -> frozenset[str]:
    """Names of families that are right for a function: its own, and those that `EQUIVALENCES` lists.

    Examples
    --------
    >>> sorted(equivalent("root", {"scale": 2.0, "order": 1, "bias": 0.5}))
    ['linear', 'root']
    """
    return frozenset({name, *_simpler(name, parameters)})


def _simpler(name: str, p: Parameters) -> tuple[str, ...]:
    found: tuple[str, ...] = ()
    if name in ("sine", "cosine"):
        found = ("sine", "cosine")
    if p.get("scale", p.get("amplitude", 1)) == 0 or p.get("slope", 1) == 0:
        found = ("constant",)
    elif name == "polynomial" and "coefficients" in p:
        found = _polynomials(list(p["coefficients"]))
    elif name == "rational" and "denominator" in p:
        found = _rationals(list(p["numerator"]), list(p["denominator"]))
    elif (name == "root" and p.get("order") == 1) or (name == "leaky_relu" and p.get("leak") == 1):
        found = ("linear",)
    return found


def _polynomials(coefficients: list[float]) -> tuple[str, ...]:
    order = len(np.trim_zeros(coefficients, "f")) - 1
    return ("constant",) if order < 1 else ("linear",) if order == 1 else ("polynomial",)


def _rationals(numerator: list[float], denominator: list[float]) -> tuple[str, ...]:
    top, bottom = np.trim_zeros(numerator, "f"), np.trim_zeros(denominator, "f")
    while top and bottom and top[-1] == bottom[-1] == 0:
        top, bottom = top[:-1], bottom[:-1]
    if len(bottom) == 1 or not top:
        return _polynomials(top)
    return ("reciprocal",) if len(top) == 1 and len(bottom) == 2 and bottom[1] == 0 else ()
