"""Grammar search: which of the sixteen families is it, where is it corrupted, and what noise is on it?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from pydantic import PositiveInt

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation, Interval, Values
from xaibench.core.types import Array
from xaibench.functions.numeric.baselines import constant_answer, interpolated
from xaibench.functions.numeric.families import FUNCTION_FAMILIES, format_number
from xaibench.functions.numeric.formulas import Expected, Formula
from xaibench.functions.numeric.grammar import Fit, fit_families, is_exact, make_fit, round_parameters, typical

LEVEL_SD = 0.1
"""Spread of the answers inside a corrupted interval: part of the grammar, as the families are."""
MAX_INTERVAL_WIDTH = 25.0
"""An interval that touches no end of the domain is not wider than this."""


@dataclass(frozen=True)
class Hypothesis:
    """A family, and the run of points that it does not hold for.

    Attributes
    ----------
    fit : Fit
        To the points outside of the run.
    start, stop : int
        The run is ``[start, stop)`` of the points in ascending order; empty where nothing is corrupted.
    level : float
        Mean of the answers in the run.
    bic : float
    """

    fit: Fit
    start: int
    stop: int
    level: float
    bic: float


@interpreter("grammar_search", takes={"numeric"})
def grammar_search(
    f: CountedFunction,
    domain: Domain,
    budget: int,
    draws: np.random.Generator,
    *,
    rounds: PositiveInt = 2,
) -> Interpretation:
    """Fits every family, selects one by BIC, and asks further where the choice is in doubt.

    Half of the questions are spread over the domain; the rest follow in ``rounds``, to where answers
    jump, to the borders of the corrupted interval, and to places at random. Corruption is the
    contiguous run of points that a level with spread 0.1 explains better than the family does, by
    the likelihood: residuals of many times their median go there, and so do quiet stretches of a
    noisy function. Noise is named by the moments of the residuals: Poisson is skewed, uniform is
    narrow with an excess kurtosis of -1.2.

    Where no family comes close, ``family`` is ``compound``, and the program interpolates what the
    best one leaves.
    """
    n = max(min(budget, 8), budget // 2)
    x, y = np.zeros(0), np.zeros(0)
    wanted = _spread(domain, n, draws)
    best: Hypothesis | None = None
    run: Interval | None = None
    for left in range(rounds, -1, -1):
        x = np.concatenate([x, wanted])
        y = np.concatenate([y, np.asarray(f(wanted), dtype=np.float64)])
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
        defined = np.isfinite(y)
        points, half = x[defined], _is_half(x, defined)
        best = _search(points, y[defined], half=half, earlier=run) if len(points) > 1 else None
        run = (points[best.start], points[best.stop - 1]) if best is not None and best.stop > best.start else None
        if not f.left or not left:
            break
        wanted = _doubts(x, y, best, domain, -(-f.left // left), draws)
    if best is None:
        return constant_answer(float(np.nanmean(y)) if np.isfinite(y).any() else 0.0)
    return _interpretation(best, x, y, domain)


def _spread(domain: Domain, n: int, draws: np.random.Generator) -> Array:
    """One place at random in each of n - 2 equal cells, and two next to 0, where families have their kinks."""
    cells = max(n - 2, 1)
    x = domain.low + (np.arange(cells) + draws.random(cells)) * (domain.high - domain.low) / cells
    return np.concatenate([x, draws.uniform(0.05, 0.4, 2) * [-1, 1]])[:n]


def _is_half(x: Array, defined: Array) -> bool:
    """Whether the function has values above 0 only."""
    return bool((~defined[x < 0]).all() and defined[x > 0].any() and (x < 0).any())


def _doubts(x: Array, y: Array, best: Hypothesis | None, domain: Domain, n: int, draws: np.random.Generator) -> Array:
    """N places: in the gaps at the borders of the run, in the gaps of the largest jumps, anywhere."""
    known = np.isfinite(y)
    points, values = x[known], y[known]
    gaps: list[tuple[float, float]] = []
    if best is not None and best.stop > best.start:
        gaps += [(points[k - 1], points[k]) for k in (best.start, best.stop) if 0 < k < len(points)] * 2
    jumps = np.argsort(-np.abs(np.diff(values)), kind="stable")[:2]
    gaps += [(points[k], points[k + 1]) for k in jumps]
    each = n // (2 * len(gaps) + 1) if gaps else 0
    inner = [low + (high - low) * (np.arange(each) + draws.random(each)) / max(each, 1) for low, high in gaps]
    low = 0.0 if _is_half(x, known) else domain.low
    if best is not None and best.stop - best.start > len(points) // 2 and best.start + len(points) > best.stop:
        low, high = (points[best.stop - 1], domain.high) if best.start == 0 else (low, points[best.start])
    else:
        high = domain.high
    rest = n - each * len(gaps)
    return np.concatenate([*inner, low + (high - low) * (np.arange(rest) + draws.random(rest)) / max(rest, 1)])


def _search(x: Array, y: Array, *, half: bool, earlier: Interval | None) -> Hypothesis | None:
    """The hypothesis of least BIC for ascending points; ``earlier`` is where a run was seen with fewer of them."""
    if earlier is not None:
        low, high = np.searchsorted(x, earlier[0]), np.searchsorted(x, earlier[1], side="right")
        settled = list(_settle(x, y, int(low), int(high), half))
        if settled and is_exact(settled[-1].fit, y):
            return settled[-1]
    whole = _hypothesis(x, y, 0, 0, half)
    if whole is None or is_exact(whole.fit, y) or len(x) < 10:
        return whole
    found = [whole]
    for start, stop in dict.fromkeys([*_plateaus(x, y), *_outliers(x, whole.fit.residuals)]):
        found += _settle(x, y, start, stop, half)
        if is_exact(found[-1].fit, y):
            break
    return min(found, key=lambda one: one.bic)


def _settle(x: Array, y: Array, start: int, stop: int, half: bool) -> Iterator[Hypothesis]:
    """Fit outside of a run, find the run that this leaves, and so on until it stays."""
    seen: set[tuple[int, int]] = set()
    while (start, stop) not in seen and len(seen) < 4 and stop > start and len(x) - (stop - start) >= 4:
        seen.add((start, stop))
        one = _hypothesis(x, y, start, stop, half)
        if one is None:
            return
        yield one
        start, stop = _run(x, y, one)
        if stop <= start:
            # What was fitted outside holds inside as well: a search over all points may have missed it.
            fit = make_fit(one.fit.family, one.fit.parameters, one.fit.size, x, y - one.fit.offset)
            if fit is not None:
                yield _judged(replace(fit, offset=one.fit.offset), y, 0, 0)


def _hypothesis(x: Array, y: Array, start: int, stop: int, half: bool) -> Hypothesis | None:
    outside = np.ones(len(x), dtype=bool)
    outside[start:stop] = False
    inner = y[start:stop]
    if len(inner) and not (len(inner) > 2 and LEVEL_SD**2 / 20 < inner.var(ddof=1) < LEVEL_SD**2 * 5):
        return None
    fits = fit_families(x[outside], y[outside], half=half)
    return _judged(fits[0], y, start, stop) if fits else None


def _judged(fit: Fit, y: Array, start: int, stop: int) -> Hypothesis:
    """A fit and a run with their BIC."""
    inner = y[start:stop]
    level = float(inner.mean()) if len(inner) else 0.0
    numbers = fit.size + (5 if len(inner) else 0)  # each border is the best of many places
    quiet = float(((inner - level) ** 2).sum()) / LEVEL_SD**2 + len(inner) * math.log(2 * math.pi * LEVEL_SD**2)
    return Hypothesis(fit, start, stop, level, fit.deviance + quiet + numbers * math.log(len(y)))


def _plateaus(x: Array, y: Array) -> list[tuple[int, int]]:
    """The longest runs that look like a level with spread 0.1: at the lower end, at the upper end, in between."""
    n = len(y)
    # Only where no step is far larger than the spread, and each stretch on its own: y may be 1e10 elsewhere.
    stretch = np.concatenate([[0], np.cumsum(np.abs(np.diff(y)) > 10 * LEVEL_SD)])
    _, first, number_of = np.unique(stretch, return_index=True, return_inverse=True)
    z = y - y[first][number_of]
    centred = np.concatenate([[0.0], np.cumsum(z)])
    squares = np.concatenate([[0.0], np.cumsum(z**2)])
    steps = np.concatenate([[0.0, 0.0], np.cumsum(np.diff(z) ** 2)])
    start, stop = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(1, n + 1), indexing="ij"))
    long_enough = (stop - start >= 4) & (stretch[start] == stretch[stop - 1])
    start, stop = start[long_enough], stop[long_enough]
    m = stop - start
    variance = (squares[stop] - squares[start] - (centred[stop] - centred[start]) ** 2 / m) / (m - 1)
    rough = (steps[stop] - steps[start + 1]) / (m - 1) / 2
    slack = 1 + 3 / np.sqrt(m)
    quiet = (variance < LEVEL_SD**2 * slack) & (rough > LEVEL_SD**2 / 3 / slack) & (rough < LEVEL_SD**2 * slack)
    quiet &= m < n
    found: list[tuple[int, int]] = []
    for kind in (start == 0, stop == n, x[stop - 1] - x[start] <= MAX_INTERVAL_WIDTH):
        chosen = np.flatnonzero(quiet & kind)
        if len(chosen):
            k = chosen[np.argmax(m[chosen])]
            found.append((int(start[k]), int(stop[k])))
    return found


def _outliers(x: Array, residuals: Array) -> Iterator[tuple[int, int]]:
    """The longest run of residuals of more than five times their median."""
    far = np.abs(residuals) > 5 * np.median(np.abs(residuals))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], far, [False]])))
    if len(edges):
        k = int(np.argmax(edges[1::2] - edges[::2]))
        yield int(edges[2 * k]), int(edges[2 * k + 1])


def _run(x: Array, y: Array, one: Hypothesis) -> tuple[int, int]:
    """The run for which level instead of family gains most likelihood, among those that corruption can have."""
    curve = Formula(one.fit.family, one.fit.parameters)
    residuals = np.nan_to_num(y - curve(x) - one.fit.offset, nan=1e300, posinf=1e300, neginf=-1e300)
    outside = one.fit.residuals
    spread = max(float(np.mean(outside**2)), (1e-7 * typical(y)) ** 2, 1e-200)
    with np.errstate(over="ignore"):
        family = np.minimum(residuals**2 / spread, 1e6) + math.log(spread)
    quiet = np.minimum(((y - one.level) / LEVEL_SD) ** 2, 1e6) + math.log(LEVEL_SD**2)
    total = np.concatenate([[0.0], np.cumsum(family - quiet)])
    low, high = 0, len(x)
    runs = [(int(low), int(np.argmax(total))), (int(np.argmin(total)), high)]
    widest = np.searchsorted(x, x + MAX_INTERVAL_WIDTH, side="right")
    start, stop = (a.ravel() for a in np.meshgrid(np.arange(len(x)), np.arange(1, len(x) + 1), indexing="ij"))
    possible = (stop > start) & (stop <= widest[start])
    k = np.argmax(np.where(possible, total[stop] - total[start], -np.inf))
    runs.append((int(start[k]), int(stop[k])))
    return max(runs, key=lambda run: total[run[1]] - total[run[0]])


def _interpretation(best: Hypothesis, x: Array, y: Array, domain: Domain) -> Interpretation:
    defined = np.isfinite(y)
    points, values = x[defined], y[defined]
    outside = np.ones(len(points), dtype=bool)
    outside[best.start : best.stop] = False
    intervals = _borders(best, x, points, domain)
    fit = round_parameters(best.fit, points[outside], values[outside])
    residuals = fit.residuals
    level = _level(fit, best, values, domain) if intervals else 0.0
    noise = name_noise(residuals) if not is_exact(fit, values[outside]) else "none"
    left = float((residuals**2).sum() / max(((values[outside] - values[outside].mean()) ** 2).sum(), 1e-300))
    family = fit.family
    curve: Callable[[Values], Array] = Formula(family, fit.parameters)
    text = FUNCTION_FAMILIES[family].text(fit.parameters)
    size = fit.size + (3 if intervals else 0)
    if noise == "none" and not is_exact(fit, values[outside]):
        curve = partial(_patched, curve=curve, x=points[outside], residuals=residuals)
        size += 2 * int(outside.sum())
        text += " and what it leaves, interpolated"
        if left > 0.02:
            family = "compound"
    text = f"f(x) = {text}"
    if intervals:
        low, high, other = (format_number(x) for x in (*intervals[0], level))
        text += f"; in [{low}, {high}] about {other} instead"
    if noise != "none":
        text += f"; plus {noise} noise"
    facts: dict[str, Any] = {"size": size, "noise": noise, "parameters": dict(fit.parameters), "left": left}
    return Interpretation(Expected(curve, intervals, level, fit.offset), text, family, intervals, facts=facts)


def _level(fit: Fit, best: Hypothesis, values: Array, domain: Domain) -> float:
    """Mean of the family over the domain, which is what corruption puts in its place, unless the answers contradict."""
    curve = Formula(fit.family, fit.parameters)(np.linspace(domain.low, domain.high, 257)[:-1] + 0.5)
    expected = float(curve[np.isfinite(curve)].mean())
    return expected if abs(expected - best.level) < 3 * LEVEL_SD / math.sqrt(best.stop - best.start) else best.level


def _patched(inputs: Values, *, curve: Callable[[Values], Array], x: Array, residuals: Array) -> Array:
    return curve(inputs) + interpolated(inputs, x=x, y=residuals)


def _borders(best: Hypothesis, x: Array, points: Array, domain: Domain) -> tuple[Interval, ...]:
    """Halfway between the last point on one side and the first one on the other."""
    if best.stop <= best.start:
        return ()
    undefined = x[x < points[0]]
    floor = float(undefined[-1] + points[0]) / 2 if len(undefined) else domain.low
    low = float(points[best.start - 1] + points[best.start]) / 2 if best.start else floor
    high = float(points[best.stop - 1] + points[best.stop]) / 2 if best.stop < len(points) else domain.high
    return ((low, high),)


def name_noise(residuals: Array) -> str:
    """``normal``, ``uniform`` or ``poisson`` by the moments of the residuals (n,), ``none`` where they fit none.

    Residuals of N(0, 1) have variance 1 and no skew, of U(-1, 1) variance 1/3, of Poisson(1) variance
    1 and skew 1. Those of a wrong family follow each other; noise does not.
    """
    n = len(residuals)
    if n < 12:
        return "none"
    centred = residuals - residuals.mean()
    variance = float(np.mean(centred**2))
    if not 0.2 < variance < 1.8 or np.mean(np.diff(centred) ** 2) < variance:
        return "none"
    if variance < 0.58:
        return "uniform" if np.abs(centred).max() < 1.4 else "none"
    return "poisson" if float(np.mean(centred**3)) / variance**1.5 > 0.5 else "normal"
