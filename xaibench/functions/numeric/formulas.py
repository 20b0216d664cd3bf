"""Numeric functions after FIND: formulas, sums and products of two, approximations, noise, corrupted intervals."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import PositiveInt
from scipy.special import ndtri

from xaibench.core.draws import keyed_generator
from xaibench.core.program_registry import functions
from xaibench.core.programs.black_box import BlackBox, Domain, Interval, Values
from xaibench.core.types import Array, Share
from xaibench.functions.numeric.approximation import fit_network
from xaibench.functions.numeric.families import ATOMIC, COMPOUND_PARTS, FUNCTION_FAMILIES, NumericFamily, Parameters

NumericFunction = Callable[[Values], Array]
DOMAIN = Domain()
TEST_INPUTS: Array = np.arange(-128, 128) + 0.5
NOISES = ("normal", "uniform", "poisson")
_MEAN_NOISE = {"poisson": 1.0}
_POISSON = np.cumsum([math.exp(-1) / math.factorial(k) for k in range(20)])
_TURNS = {
    name: math.sqrt(n) % 1 for name, n in {"compound": 2, "noise": 3, "corruption": 5, "approximation": 7}.items()
}


@dataclass(frozen=True)
class Formula:
    """A member of a family."""

    family: str
    parameters: Parameters

    def __call__(self, inputs: Values) -> Array:
        x = np.asarray(inputs, dtype=np.float64)
        with np.errstate(all="ignore"):
            return np.asarray(FUNCTION_FAMILIES[self.family].value(x, self.parameters), dtype=np.float64)

    @property
    def text(self) -> str:
        """The formula in words."""
        return FUNCTION_FAMILIES[self.family].text(self.parameters)

    @property
    def landmarks(self) -> list[float]:
        """Kinks, jumps and poles inside the domain."""
        return [x for x in FUNCTION_FAMILIES[self.family].landmarks(self.parameters) if DOMAIN.low < x < DOMAIN.high]


@dataclass(frozen=True)
class Compound:
    """Sum or product of two formulas."""

    operation: str
    parts: tuple[Formula, Formula]

    def __call__(self, inputs: Values) -> Array:
        first, second = (part(inputs) for part in self.parts)
        return first + second if self.operation == "sum" else first * second


@dataclass(frozen=True)
class Expected:
    """What a function answers on average: its curve, and a level of its own inside corrupted intervals.

    Attributes
    ----------
    curve : callable
    intervals : tuple of (low, high)
        Closed.
    level : float
    offset : float
        Mean of the noise, added outside of the intervals.
    """

    curve: NumericFunction
    intervals: tuple[Interval, ...] = ()
    level: float = 0.0
    offset: float = 0.0

    def __call__(self, inputs: Values) -> Array:
        x = np.asarray(inputs, dtype=np.float64)
        y = self.curve(x) + self.offset
        return np.where(inside(x, self.intervals) & np.isfinite(y), self.level, y)


@dataclass(frozen=True)
class Noisy:
    """Adds noise that is a function of the input: N(0, 0.1) in corrupted intervals, else as named."""

    program: Expected
    noise: str
    key: str

    def __call__(self, inputs: Values) -> Array:
        x = np.asarray(inputs, dtype=np.float64)
        corrupted = inside(x, self.program.intervals)
        y = self.program(x)
        if self.noise != "none":
            u = keyed_uniform(f"{self.key}/noise", x[~corrupted])
            y[~corrupted] += _quantile(self.noise, u) - self.program.offset
        y[corrupted] += 0.1 * ndtri(keyed_uniform(f"{self.key}/corruption", x[corrupted]))
        return y


def inside(x: Array, intervals: tuple[Interval, ...]) -> Array:
    """Whether each x is in one of the closed intervals."""
    found = np.zeros(np.shape(x), dtype=bool)
    for low, high in intervals:
        found |= (x >= low) & (x <= high)
    return found


def keyed_uniform(key: str, x: Array) -> Array:
    """A number from (0, 1) for each x, which depends on the key and x only."""
    prefix = hashlib.blake2b(key.encode(), digest_size=8)
    words = bytearray()
    for row in (np.asarray(x, dtype="<f8") + 0.0).tolist():  # + 0.0: the two zeros are one input
        h = prefix.copy()
        h.update(np.float64(row).tobytes())
        words += h.digest()
    return ((np.frombuffer(bytes(words), "<u8") >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def _quantile(noise: str, u: Array) -> Array:
    if noise == "poisson":
        return np.searchsorted(_POISSON, u).astype(np.float64)
    return np.asarray(ndtri(u) if noise == "normal" else 2 * u - 1)


@functions("find_numeric", kind="numeric")
def find_numeric(
    *,
    seed: int,
    n: PositiveInt = 48,
    compound: Share = 0.15,
    approximation: Share = 0.15,
    noise: Share = 0.25,
    corruption: Share = 0.25,
) -> tuple[BlackBox, ...]:
    """Numeric functions on [-128, 128] after FIND (Schwettmann et al. 2023), from our own generator.

    A function is one of sixteen formulas with parameters rounded to one decimal, or the sum or the
    product of two of nine. On top of it, each on its own:

    approximation
        The function is a network 1-64-1 with ReLU that was fitted to the formula.
    noise
        N(0, 1), U(-1, 1) or Poisson(1) is added. It is a function of the input: the same question
        gets the same answer.
    corruption
        In an interval (below a, above a, or from a on, 5 to 25 wide) the answers are
        N(mean of f on its domain, 0.1) instead.

    Parameters
    ----------
    seed : int
    n : int
        Functions; the first ones of a larger set are those of a smaller one.
    compound, approximation, noise, corruption : float
        Shares. Functions are spread evenly: of n functions ``n * share``, to within one or two,
        are marked, and sixteen successive formulas are one of each family.

    Notes
    -----
    ``program`` is the mean of the answers: Poisson noise raises it by 1, and inside a corrupted
    interval it is the level. Corruption does not define a function where its formula has no value.
    """
    order = keyed_generator(seed, "order", "find/numeric")
    starts = {name: float(order.random()) for name in _TURNS}
    shares = {"compound": compound, "approximation": approximation, "noise": noise, "corruption": corruption}
    made: list[BlackBox] = []
    families: list[NumericFamily] = []
    for i in range(n):
        marks = {name for name, turn in _TURNS.items() if (starts[name] + i * turn) % 1 < shares[name]}
        name = f"find/numeric/{i:04d}"
        if "compound" not in marks and not families:
            families = [ATOMIC[k] for k in order.permutation(len(ATOMIC))]
        made.append(_function(seed, name, None if "compound" in marks else families.pop(), marks))
    return tuple(made)


def _function(seed: int, name: str, family: NumericFamily | None, marks: set[str]) -> BlackBox:
    def draws(stream: str) -> np.random.Generator:
        return keyed_generator(seed, f"find_numeric/{stream}", name)

    curve: NumericFunction
    parameters: dict[str, Any]
    if family is None:
        both = _compound(draws("formula"))
        curve, label = both, "compound"
        text = f"({both.parts[0].text}) {'+' if both.operation == 'sum' else '*'} ({both.parts[1].text})"
        landmarks = {x for part in both.parts for x in part.landmarks}
        parts = [{"family": part.family, **part.parameters} for part in both.parts]
        parameters = {"operation": both.operation, "parts": parts}
    else:
        formula = Formula(family.name, family.draw(draws("formula")))
        curve, label, text, landmarks = formula, family.name, formula.text, set(formula.landmarks)
        parameters = dict(formula.parameters)
    if "approximation" in marks:
        curve, text = fit_network(curve, DOMAIN, draws("network")), f"a network close to {text}"
        parameters["approximation"] = True
    values = curve(TEST_INPUTS)
    defined = np.isfinite(values)
    intervals: tuple[Interval, ...] = ()
    level = 0.0
    if "corruption" in marks:
        low = 0.0 if not defined[TEST_INPUTS < 0].any() else DOMAIN.low
        intervals, level = (_interval(low, draws("corruption")),), float(values[defined].mean())
        text += f"; in [{intervals[0][0]:.6g}, {intervals[0][1]:.6g}] about {level:.6g} instead"
    kind = str(draws("noise").choice(NOISES)) if "noise" in marks else "none"
    if kind != "none":
        text += f"; plus {kind} noise"
    program = Expected(curve, intervals, level, _MEAN_NOISE.get(kind, 0.0))
    return BlackBox(
        name,
        "numeric",
        Noisy(program, kind, f"{seed}/{name}"),
        program,
        DOMAIN,
        label,
        parameters,
        f"f(x) = {text}",
        TEST_INPUTS[np.isfinite(program(TEST_INPUTS))],
        intervals=intervals,
        landmarks=tuple(sorted(x for x in landmarks if not inside(np.array(x), intervals))),
        noise=kind,
    )


def _compound(rng: np.random.Generator) -> Compound:
    operation = str(rng.choice(["sum", "product"]))
    first, second = (FUNCTION_FAMILIES[str(rng.choice(COMPOUND_PARTS))] for _ in range(2))
    return Compound(operation, (Formula(first.name, first.draw(rng)), Formula(second.name, second.draw(rng))))


def _interval(low: float, rng: np.random.Generator) -> Interval:
    a = float(rng.uniform(max(low, -100), 100))
    where = rng.integers(3)
    return (low, a) if where == 0 else (a, DOMAIN.high) if where == 1 else (a, min(DOMAIN.high, a + rng.uniform(5, 25)))
