"""Testing conditional independence by betting: wealth, stopping times, and e-values of several hypotheses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xaibench.core.types import Array

LARGEST_BET = 0.5
NEWTON_STEP = 2 / (2 - np.log(3))
"""Step of online Newton for bets of at most one half (Cutkosky and Orabona 2018)."""


@dataclass(frozen=True, eq=False)
class Bets:
    """What betting against each of K hypotheses came to.

    Attributes
    ----------
    log_wealth : array (T, K)
        After each observation; the wealth at the start is 1.
    signs : array (T, K)
        Of the covariance of output and concept, from what was observed up to there: 1, -1 or 0.
    """

    log_wealth: Array
    signs: Array

    @property
    def e_values(self) -> Array:
        """Wealth (K,) at the end: its mean is at most 1 where a hypothesis is true."""
        found: Array = np.exp(self.log_wealth[-1])
        return found

    def stopping_times(self, alpha: float) -> Array:
        """Number of observations (K,) after which wealth first is at least 1 / alpha; 0 for never.

        Where a hypothesis is true that happens with a probability of at most alpha (Ville's inequality).
        """
        reached = self.log_wealth >= -np.log(alpha)
        found: Array = np.where(reached.any(axis=0), reached.argmax(axis=0) + 1, 0)
        return found


def bet(outputs: Array, concepts: Array, drawn: Array) -> Bets:
    """Bet that concepts say more about outputs than concepts drawn again do (SKIT, Teneggi and Sulam 2024).

    The payoff of observation t is tanh(s (y - m) (c - c~)), where c~ is drawn from the conditional distribution of c
    given all other concepts, and s and m, the sign of the covariance and the mean of y, are from the past. Where
    the output is independent of c given the others, c and c~ can be exchanged, and the payoff is fair. The
    share of the wealth that is bet, from 0 to 1/2, follows from the past by online Newton.

    Parameters
    ----------
    outputs : array (T,)
    concepts, drawn : array (T, K)
    """
    t, k = concepts.shape
    wealth, signs = np.zeros((t, k)), np.zeros((t, k))
    log_wealth, share, curvature = np.zeros(k), np.zeros(k), np.ones(k)
    mean, covariance, means = 0.0, np.zeros(k), np.zeros(k)
    for i, (y, c, other) in enumerate(zip(outputs, concepts, drawn, strict=True)):
        payoff = np.tanh(np.sign(covariance) * (y - mean) * (c - other))
        log_wealth = log_wealth + np.log1p(share * payoff)
        slope = -payoff / (1 + share * payoff)
        curvature = curvature + slope**2
        share = np.clip(share - NEWTON_STEP * slope / curvature, 0.0, LARGEST_BET)
        old = y - mean
        mean += old / (i + 1)
        means = means + (c - means) / (i + 1)
        covariance = covariance + old * (c - means)
        wealth[i], signs[i] = log_wealth, np.sign(covariance)
    return Bets(wealth, signs)


def e_benjamini_hochberg(e_values: Array, alpha: float) -> Array:
    """Hypotheses (K,) of bool that are rejected with a false discovery rate of at most alpha, whatever the dependence.

    The k largest e-values are rejected for the largest k with e_(k) >= K / (alpha k) (Wang and Ramdas 2022).

    Examples
    --------
    >>> import numpy as np
    >>> e_benjamini_hochberg(np.array([50.0, 21.0, 1.0, 0.0]), 0.1).tolist()
    [True, True, False, False]
    """
    n = len(e_values)
    order = np.argsort(-e_values, kind="stable")
    enough = e_values[order] * np.arange(1, n + 1) >= n / alpha
    k = int(np.flatnonzero(enough)[-1]) + 1 if enough.any() else 0
    rejected = np.zeros(n, dtype=bool)
    rejected[order[:k]] = True
    return rejected
