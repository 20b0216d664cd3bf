"""Fits of the sixteen families to points: what is linear by least squares, the rest from many starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import leastsq

from xaibench.core.types import Array
from xaibench.functions.numeric.families import FUNCTION_FAMILIES, Parameters
from xaibench.functions.numeric.square_wave import fit_square_wave

EXACT = 1e-9
"""Residuals below this share of the typical answer are rounding."""
UNIT = 128.0
FREQUENCIES: Array = np.arange(0.05, 6.4, 0.008)
_STEEPNESS: Array = np.geomspace(0.08, 7.0, 12)
_MEANS, _SDS = (a.reshape(-1, 1) for a in np.meshgrid(np.linspace(-55, 55, 111), np.geomspace(0.8, 12, 16)))


@dataclass(frozen=True)
class Fit:
    """A member of a family, fitted to n points.

    Attributes
    ----------
    family : str
    parameters : mapping
    size : int
        Numbers that were fitted.
    residuals : array (n,)
    deviance : float
        ``n log(2 pi rss / n) + n``, minus twice the log-likelihood under normal noise of any size; the
        size is at least `EXACT` times the typical answer.
    offset : float
        What is added to the formula: 1 where a family without a level of its own has the mean of
        Poisson noise on it.
    """

    family: str
    parameters: Parameters
    size: int
    residuals: Array
    deviance: float
    offset: float = 0.0

    @property
    def bic(self) -> float:
        """Deviance plus ``size log n`` (Schwarz 1978)."""
        return self.deviance + self.size * math.log(len(self.residuals))


def typical(y: Array) -> float:
    """A typical magnitude: the median, and where that is next to nothing a small share of the root mean square."""
    size = np.abs(y)
    middle = len(y) // 2
    return max(float(np.partition(size, middle)[middle]), 1e-4 * math.sqrt(float(y @ y) / len(y)))


def make_fit(family: str, parameters: Parameters, size: int, x: Array, y: Array) -> Fit | None:
    """Residuals and deviance of given parameters; None where they have no value at some point."""
    with np.errstate(all="ignore"):
        residuals = y - FUNCTION_FAMILIES[family].value(x, parameters)
    if not np.isfinite(residuals).all():
        return None
    spread = max(float(residuals @ residuals) / len(y), (EXACT * typical(y)) ** 2, 1e-200)
    return Fit(family, parameters, size, residuals, len(y) * (math.log(2 * math.pi * spread) + 1))


def is_exact(fit: Fit, y: Array) -> bool:
    """Whether what is left is rounding, up to that of an iterative fit."""
    return float(np.mean(fit.residuals**2)) <= (100 * EXACT * typical(y)) ** 2


def round_parameters(fit: Fit, x: Array, y: Array) -> Fit:
    """The same with the fewest decimals that fit the points as well: to rounding, or to one in deviance a number."""
    for digits in range(1, 5):
        parameters = {k: _rounded(v, digits) for k, v in fit.parameters.items()}
        shorter = make_fit(fit.family, parameters, fit.size, x, y - fit.offset)
        if shorter is not None and (
            is_exact(shorter, y) if is_exact(fit, y) else shorter.deviance <= fit.deviance + fit.size
        ):
            return replace(shorter, offset=fit.offset)
    return fit


def _rounded(value: Any, digits: int) -> Any:
    return [round(v, digits) for v in value] if isinstance(value, list) else round(value, digits)


def fit_families(x: Array, y: Array, *, half: bool) -> list[Fit]:
    """Fit all families that can be meant, the least BIC first.

    Parameters
    ----------
    x, y : array (n,)
        At least two points, x ascending, all finite.
    half : bool
        The function has no value below 0: only roots, logarithms and constants are fitted then, else all others.

    Notes
    -----
    Families that need a search are left out once a simpler one leaves nothing but rounding.
    """
    fits: list[Fit] = []
    for stage in _half_stages if half else _stages:
        fits += [fit for fit in stage(x, y) if fit is not None]
        if fits and is_exact(min(fits, key=lambda fit: fit.bic), y):
            break
    else:
        raised = [fit for stage in (() if half else _levelless) for fit in stage(x, y - 1) if fit is not None]
        fits += [replace(fit, offset=1.0) for fit in raised]
    return sorted(fits, key=lambda fit: fit.bic)


def _solve(columns: list[Array], y: Array) -> list[float]:
    design = np.column_stack(columns)
    return [float(c) for c in np.linalg.lstsq(design, y, rcond=None)[0]]


def _scaled(family: str, shape: Array, x: Array, y: Array, **more: Any) -> Fit | None:
    scale, bias = _solve([shape, np.ones_like(x)], y)
    return make_fit(family, {"scale": scale, **more, "bias": bias}, 2, x, y)


def _roots(x: Array, y: Array) -> Iterator[Fit | None]:
    if (x < 0).any():
        return
    yield make_fit("constant", {"value": float(y.mean())}, 1, x, y)
    yield _scaled("root", np.sqrt(x), x, y, order=2)
    if (x > 0).all():
        yield _scaled("log", np.log(x), x, y, base=math.e)


def _linear(x: Array, y: Array) -> Iterator[Fit | None]:
    yield make_fit("constant", {"value": float(y.mean())}, 1, x, y)
    slope, bias = _solve([x, np.ones_like(x)], y)
    yield make_fit("linear", {"slope": slope, "bias": bias}, 2, x, y)
    yield _scaled("absolute", np.abs(x), x, y)
    yield _scaled("step", (x >= 0).astype(np.float64), x, y)
    right, left, bias = _solve([np.maximum(x, 0), np.minimum(x, 0), np.ones_like(x)], y)
    if right:
        yield make_fit("leaky_relu", {"scale": right, "leak": left / right, "bias": bias}, 3, x, y)
    powers = [(x / UNIT) ** k for k in range(5, -1, -1)]
    for degree in range(2, min(5, len(x) - 2) + 1):
        scaled = _solve(powers[5 - degree :], y)
        coefficients = [c / UNIT ** (degree - i) for i, c in enumerate(scaled)]
        yield make_fit("polynomial", {"coefficients": coefficients}, degree + 1, x, y)


def _reciprocal(x: Array, y: Array) -> Iterator[Fit | None]:
    inverse = float((y / x).sum() / (1 / x**2).sum()) if (x != 0).all() else 0.0
    if inverse:
        yield make_fit("reciprocal", {"scale": 1 / inverse}, 1, x, y)


def _bounded(x: Array, y: Array) -> Iterator[Fit | None]:
    """Families without a free scale, whose values are in [0, 1]."""
    if np.median(np.abs(y)) > 3:
        return
    yield _rectangle(x, y)
    z = (x - _MEANS) / _SDS
    density = np.exp(-0.5 * z**2) / (_SDS * math.sqrt(2 * math.pi))
    best = _best(((density - y) ** 2).sum(axis=1), 2)
    mean, sd = _minimise(_gaussian, [[_MEANS[k, 0], _SDS[k, 0]] for k in best], x, y)
    if sd != 0:
        yield make_fit("gaussian", {"mean": mean, "sd": abs(sd)}, 2, x, y)


def _rectangle(x: Array, y: Array) -> Fit | None:
    distance = np.abs(x)
    order = np.argsort(distance, kind="stable")
    gain = np.cumsum(2 * y[order] - 1)
    k = int(np.argmax(gain))
    if gain[k] <= 0:
        return None
    inner = distance[order[k]]
    outer = distance[order[k + 1]] if k + 1 < len(x) else inner
    return make_fit("rectangle", {"width": float(inner + outer)}, 1, x, y)


def _sine(x: Array, y: Array) -> Iterator[Fit | None]:
    explained, peaks = _peaks(x, y)
    starts = []
    for frequency in FREQUENCIES[[k for k in peaks if _may_win(explained[k], len(x))]]:
        a, b = _solve([np.sin(frequency * x), np.cos(frequency * x)], y - y.mean())
        starts.append([a, b, float(frequency), float(y.mean())])
    if starts:
        a, b, frequency, bias = _minimise(_sine_curve, starts, x, y)
        parameters = {"amplitude": math.hypot(a, b), "frequency": frequency, "phase": math.atan2(b, a), "bias": bias}
        # One number more than it has: the frequency is the best of hundreds.
        yield make_fit("sine", parameters, 5, x, y)


def _square_wave(x: Array, y: Array) -> Iterator[Fit | None]:
    if np.median(np.abs(y)) > 3:
        return
    explained, peaks = _peaks(x, y)
    peaks = [k for k in peaks[:2] if _may_win(explained[k], len(x))]
    if peaks:
        period, shift = fit_square_wave(x, y, FREQUENCIES[peaks], step=0.012)
        yield make_fit("square_wave", {"period": period, "shift": shift}, 2, x, y)


def _peaks(x: Array, y: Array) -> tuple[Array, list[int]]:
    """Share of the variance that each frequency explains, and the three highest peaks of it."""
    if len(x) < 6 or np.ptp(y) == 0:
        return np.zeros(0), []
    # Each row is the one before, turned on by one step: ten times faster than sines, and exact enough for a start.
    turns = np.broadcast_to(np.exp(1j * (FREQUENCIES[1] - FREQUENCIES[0]) * x), (len(FREQUENCIES), len(x))).copy()
    turns[0] = np.exp(1j * FREQUENCIES[0] * x)
    turns = np.cumprod(turns, axis=0)
    explained = _explained(turns.imag, turns.real, y)
    peaks = np.flatnonzero((explained >= np.roll(explained, 1)) & (explained >= np.roll(explained, -1)))
    return explained, [int(k) for k in peaks[np.argsort(-explained[peaks], kind="stable")][:3]]


def _may_win(explained: float, n: int) -> bool:
    """Whether a curve that explains this share on a grid can have less BIC than a constant once it is refined."""
    return -n * math.log(max(1e-300, 1 - min(1.0, 1.5 * explained))) > 2 * math.log(n)


def _explained(first: Array, second: Array, y: Array) -> Array:
    """Share (k,) of the variance that a level and two columns explain, for k pairs of columns (k, n)."""
    centred = y - y.mean()
    first = first - first.mean(axis=1, keepdims=True)
    second = second - second.mean(axis=1, keepdims=True)
    a, b, c = (first**2).sum(axis=1), (first * second).sum(axis=1), (second**2).sum(axis=1)
    u, v = first @ centred, second @ centred
    fitted = (c * u**2 - 2 * b * u * v + a * v**2) / np.maximum(a * c - b**2, 1e-9 * a * c + 1e-300)
    return np.asarray(np.clip(fitted / (centred @ centred), 0, 1))


def _tanh(x: Array, y: Array) -> Iterator[Fit | None]:
    if len(x) < 5 or np.ptp(y) == 0:
        return
    middles = (x[1:] + x[:-1]) / 2
    jumps = np.argsort(-np.abs(np.diff(y)), kind="stable")[:24]
    centres = np.concatenate([np.linspace(-64, 0, 33), middles[jumps]])
    steepness, centre = (a.reshape(-1, 1) for a in np.meshgrid(_STEEPNESS, centres))
    shape = np.tanh(steepness * (x - centre))
    shape -= shape.mean(axis=1, keepdims=True)
    energy = (shape**2).sum(axis=1)
    centred = y - y.mean()
    explained = np.where(energy > 1e-12, (shape @ centred) ** 2 / np.maximum(energy, 1e-12), 0)
    starts = []
    for k in _best(-explained / (centred @ centred), 3):
        p, c = float(steepness[k, 0]), float(centre[k, 0])
        amplitude, bias = _solve([np.tanh(p * (x - c)), np.ones_like(x)], y)
        if _may_win(explained[k] / (centred @ centred), len(x)):
            starts.append([amplitude, p, -p * c, bias])
    if starts:
        amplitude, p, h, bias = _minimise(_tanh_curve, starts, x, y)
        yield make_fit("tanh", {"amplitude": amplitude, "frequency": p, "phase": h, "bias": bias}, 4, x, y)


def _rational(x: Array, y: Array) -> Iterator[Fit | None]:
    """Null vectors of ``[powers, -y powers]``, then once more with the rows divided by the denominator."""
    powers = (x[:, None] / UNIT) ** np.arange(6)
    for bottom in range(1, 6):
        for top in range(5):
            if top + bottom + 3 > len(x):
                continue
            weights = 1 / (np.abs(y) + typical(y) + 1e-300)
            for _ in range(2):
                design = np.hstack([powers[:, : top + 1], -y[:, None] * powers[:, : bottom + 1]]) * weights[:, None]
                null = np.linalg.svd(design, full_matrices=False)[2][-1]
                q = powers[:, : bottom + 1] @ null[top + 1 :]
                weights = 1 / np.maximum(np.abs(q), 1e-9 * np.abs(q).max() + 1e-300)
            numerator = [float(c) / UNIT**k for k, c in enumerate(null[: top + 1])]
            denominator = [float(c) / UNIT**k for k, c in enumerate(null[top + 1 :])]
            parameters = {"numerator": numerator[::-1], "denominator": denominator[::-1]}
            fit = make_fit("rational", parameters, top + bottom + 1, x, y)
            yield fit
            if fit is not None and is_exact(fit, y):
                return


_Stages = tuple[Callable[[Array, Array], Iterator[Fit | None]], ...]
_half_stages: _Stages = (_roots,)
_stages: _Stages = (_linear, _reciprocal, _bounded, _sine, _square_wave, _tanh, _rational)
_levelless: _Stages = (_reciprocal, _bounded, _square_wave)


def _best(scores: Array, n: int) -> Array:
    """The n lowest."""
    return np.argsort(scores, kind="stable")[:n]


def _minimise(curve: Callable[..., tuple[Array, Array]], starts: list[list[float]], x: Array, y: Array) -> list[float]:
    """Least squares by Levenberg and Marquardt, exact Jacobian: some steps from each start, more from the best."""

    def go(start: Any, steps: int) -> tuple[float, Any]:
        found, _, info, *_ = leastsq(
            lambda theta: curve(theta, x)[0] - y,
            start,
            Dfun=lambda theta: curve(theta, x)[1],
            col_deriv=True,
            ftol=1e-15,
            xtol=1e-15,
            maxfev=steps,
            full_output=True,
        )
        return float((info["fvec"] ** 2).sum()), found

    with np.errstate(all="ignore"):
        _, best = min((go(start, 12) for start in starts), key=lambda one: one[0])
        return [float(v) for v in go(best, 150)[1]]


def _sine_curve(theta: Array, x: Array) -> tuple[Array, Array]:
    a, b, frequency, bias = theta
    sine, cosine = np.sin(frequency * x), np.cos(frequency * x)
    return a * sine + b * cosine + bias, np.array([sine, cosine, x * (a * cosine - b * sine), np.ones(len(x))])


def _tanh_curve(theta: Array, x: Array) -> tuple[Array, Array]:
    amplitude, steepness, phase, bias = theta
    t = np.tanh(steepness * x + phase)
    slope = amplitude * (1 - t**2)
    return amplitude * t + bias, np.array([t, slope * x, slope, np.ones(len(x))])


def _gaussian(theta: Array, x: Array) -> tuple[Array, Array]:
    mean, sd = theta
    sd = sd if sd else 1e-12
    with np.errstate(over="ignore"):
        z = (x - mean) / sd
        density = np.exp(-0.5 * np.minimum(z**2, 1e4)) / (sd * math.sqrt(2 * math.pi))
        return density, np.array([density * z / sd, density * np.where(density > 0, z**2 - 1, 0) / sd])
