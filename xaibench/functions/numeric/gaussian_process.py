"""Gaussian process regression that queries where its uncertainty is largest."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
from pydantic import PositiveInt
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

from xaibench.core.program_registry import interpreter
from xaibench.core.programs.black_box import CountedFunction, Domain, Interpretation, Values
from xaibench.core.types import Array
from xaibench.functions.numeric.baselines import constant_answer, places

CANDIDATES = 513
FIRST = 8
_NUGGET = 1e-8


@interpreter("gaussian_process", takes={"numeric"})
def gaussian_process(
    f: CountedFunction,
    domain: Domain,
    budget: int,
    draws: np.random.Generator,
    *,
    fits: PositiveInt = 3,
    steps: PositiveInt = 20,
) -> Interpretation:
    """Mean of a Gaussian process that asks at the input of largest posterior variance (Rasmussen & Williams 2006).

    Matern kernel (nu = 3/2) plus white noise on standardised answers. The hyperparameters are those
    of largest marginal likelihood, found again, from where the last search ended, as the number of
    probes grows in equal proportions; between two fits the posterior variance does not depend on
    the answers, so all probes up to the next fit are chosen at once. Undefined answers count as
    asked, and are left out.

    Parameters
    ----------
    fits : int
        Fits of the hyperparameters before the last one.
    steps : int
        Steps of L-BFGS-B for each fit.
    """
    first = min(budget, FIRST)
    x = places(domain, first, draws)
    y = np.asarray(f(x), dtype=np.float64)
    shifts = (draws.random(CANDIDATES) - 0.5) * (domain.high - domain.low) / (CANDIDATES - 1)
    candidates = np.clip(np.linspace(domain.low, domain.high, CANDIDATES) + shifts, domain.low, domain.high)
    sizes = [max(first, round(budget * (first / budget) ** (1 - k / fits))) for k in range(1, fits + 1)]
    model = None
    for size in sizes:
        if size <= len(x):
            continue
        model = _fit(x, y, model, steps)
        kernel = None if model is None else model.kernel_
        chosen = _uncertain(candidates, x, size - len(x), kernel, domain)
        x = np.concatenate([x, chosen])
        y = np.concatenate([y, np.asarray(f(chosen), dtype=np.float64)])
    model = _fit(x, y, model, steps)
    if model is None:
        return constant_answer(0.0)
    return Interpretation(
        partial(_mean, model=model),
        f"a Gaussian process through {np.isfinite(y).sum()} points",
        facts={"size": 2 * int(np.isfinite(y).sum()) + 3, "kernel": str(model.kernel_)},
    )


def _fit(x: Array, y: Array, earlier: Any, steps: int) -> Any:
    """The fitted regressor, or None where nothing is defined."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    def climb(objective: Any, start: Array, bounds: Array) -> tuple[Array, float]:
        found = minimize(
            objective,
            start,
            method="L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": steps, "maxfun": 2 * steps},
        )
        return found.x, float(found.fun)

    defined = np.isfinite(y)
    if not defined.any():
        return None
    kernel = ConstantKernel(1.0, (1e-2, 1e3)) * Matern(20.0, (0.2, 1e3), nu=1.5) + WhiteKernel(1e-3, (_NUGGET, 1.0))
    varies = defined.sum() > 1 and np.ptp(y[defined]) > 0
    model = GaussianProcessRegressor(
        kernel if earlier is None else earlier.kernel_,
        alpha=1e-10,
        normalize_y=True,
        optimizer=climb if varies else None,
        random_state=0,
    )
    with warnings.catch_warnings():
        # Hyperparameters at a bound are what exact or noisy functions lead to.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x[defined, None], y[defined])


def _uncertain(candidates: Array, x: Array, n: int, kernel: Any, domain: Domain) -> Array:
    """N candidates, one after the other, at the largest variance that the earlier ones leave."""
    from sklearn.gaussian_process.kernels import Matern

    signal = Matern(20.0, nu=1.5) if kernel is None else kernel.k1
    noise = 1e-3 if kernel is None else kernel.k2.noise_level
    known = np.linalg.cholesky(signal(x[:, None]) + (noise + 1e-8) * np.eye(len(x)))
    rows = solve_triangular(known, signal(x[:, None], candidates[:, None]), lower=True)
    variance = signal.diag(candidates[:, None]) - (rows**2).sum(axis=0)
    chosen: list[int] = []
    for _ in range(n):
        best = int(np.argmax(variance))
        chosen.append(best)
        column = signal(candidates[best : best + 1, None], candidates[:, None])[0] - rows[:, best] @ rows
        row = column / np.sqrt(max(variance[best], 0.0) + noise + 1e-8)
        rows = np.vstack([rows, row])
        variance = variance - row**2
    return candidates[chosen]


def _mean(inputs: Values, *, model: Any) -> Array:
    return np.asarray(model.predict(np.asarray(inputs, dtype=np.float64)[:, None]))
