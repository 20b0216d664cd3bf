"""Models that are sums of terms of one or two columns: their contributions are known exactly."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.extras import install_command
from xaibench.core.keys import seed as derive_seed
from xaibench.core.types import Array


@model("additive_terms", provides={"gradients", "module", "truth.contributions"}, features={"table"})
def additive_terms(data: Data) -> nn.Module:
    """The score of the data set `additive_table` itself: a sum of cubic splines of one and of two columns.

    Raises
    ------
    UsageError
        If the data set has no such facts.
    """
    names = ("knots", "coefficients", "pairs", "pair_coefficients", "intercept")
    missing = [name for name in names if name not in data.facts]
    if missing:
        raise UsageError(
            f"this model needs facts that the data set does not provide: {', '.join(missing)}",
            "it is the score of additive_table; other tables have the model ebm",
        )
    knots, coefficients, pairs, pair_coefficients, intercept = (np.asarray(data.facts[name]) for name in names)
    return SplineSum(knots, coefficients, pairs, pair_coefficients, float(intercept))


@model("ebm", provides={"truth.contributions"}, features={"table"})
def ebm(
    data: Data,
    *,
    seed: int,
    interactions: Annotated[int, Ge(0)] = 0,
    outer_bags: Annotated[int, Ge(1)] = 2,
    max_rounds: Annotated[int, Ge(1)] = 300,
) -> Any:
    """Explainable boosting machine (Lou et al. 2013; Nori et al. 2019): boosted step functions of one or two columns.

    A black box without gradients; its outputs are minus and plus half of the log odds. Every column is continuous, so
    that a masked value falls into a bin like any other. The truth is about this model: with correlated columns how it
    splits an effect between them is arbitrary, and a method that disagrees is not wrong about the data.

    Parameters
    ----------
    interactions : int
        Terms of two columns.
    outer_bags, max_rounds : int
        Bags that are averaged, and rounds of boosting.

    Raises
    ------
    UnsupportedError
        If the library ``interpret`` is not installed, or there are more than two classes.
    """
    if data.n_values or data.train_labels is not None or data.n_classes != 2:
        raise UnsupportedError("ebm is for two classes, whose log odds are one sum of terms")
    try:
        from interpret.glassbox import ExplainableBoostingClassifier
    except ImportError as error:
        raise UnsupportedError("ebm needs the library interpret", install_command("ebm")) from error
    fitted = ExplainableBoostingClassifier(
        feature_types=["continuous"] * data.input_shape[0],
        interactions=interactions,
        outer_bags=outer_bags,
        max_rounds=max_rounds,
        random_state=derive_seed("train", seed) % np.iinfo(np.int32).max,
        n_jobs=1,
    )
    fitted.fit(data.train_inputs.astype(np.float64), data.train_targets)
    return BoostedTerms(fitted)


class BoostedTerms:
    """A fitted EBM as a function (N, d) to logits (N, 2) that knows its terms."""

    default_returns = "logit"

    def __init__(self, fitted: Any) -> None:
        self.fitted = fitted

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """The columns of every term."""
        return tuple(tuple(int(j) for j in term) for term in self.fitted.term_features_)

    def terms(self, inputs: Array) -> Array:
        """Value of every term (N, T), float64."""
        return np.asarray(self.fitted.eval_terms(inputs.astype(np.float64)), dtype=np.float64)

    def __call__(self, inputs: Array) -> Array:
        odds = self.terms(inputs).sum(axis=1) + float(np.ravel(self.fitted.intercept_)[0])
        return np.stack([-odds, odds], axis=1) / 2


class SplineSum(nn.Module):
    """Logits (N, 2), minus and plus half of an intercept plus cubic splines of one column and products of two.

    Parameters
    ----------
    knots : array (K,)
        Centres of the cubic B-splines, evenly spaced; all columns share them.
    coefficients : array (d, K)
        Of the term of every column.
    pairs : array (P, 2) of int
        Columns of the terms of two columns.
    pair_coefficients : array (P, 2, K)
        The term of a pair is the product of a spline of each of its columns.
    intercept : float
    """

    knots: Tensor
    coefficients: Tensor
    pair_coefficients: Tensor

    def __init__(
        self, knots: Array, coefficients: Array, pairs: Array, pair_coefficients: Array, intercept: float
    ) -> None:
        super().__init__()
        for name, values in (
            ("knots", knots),
            ("coefficients", coefficients),
            ("pair_coefficients", pair_coefficients),
        ):
            self.register_buffer(name, torch.from_numpy(np.asarray(values, dtype=np.float64)))
        self.pairs = [(int(i), int(j)) for i, j in pairs.reshape(-1, 2)]
        self.width = float(knots[1] - knots[0])
        self.intercept = intercept

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """The columns of every term: first of those of one column, then of the pairs."""
        return (*((j,) for j in range(len(self.coefficients))), *self.pairs)

    def terms(self, inputs: Array) -> Array:
        """Value of every term (N, T), float64."""
        with torch.no_grad():
            found: Array = (
                self._terms(torch.from_numpy(np.asarray(inputs, np.float64)).to(self.knots.device)).cpu().numpy()
            )
        return found

    def _terms(self, inputs: Tensor) -> Tensor:
        away = (inputs.double().unsqueeze(-1) - self.knots).abs() / self.width
        near = (4 - 6 * away**2 + 3 * away**3) / 6
        far = (2 - away).clamp(min=0) ** 3 / 6
        bases = torch.where(away < 1, near, far)
        singles = (bases * self.coefficients).sum(dim=-1)
        if not self.pairs:
            return singles
        first, second = zip(*self.pairs, strict=True)
        left = (bases[:, list(first)] * self.pair_coefficients[:, 0]).sum(dim=-1)
        right = (bases[:, list(second)] * self.pair_coefficients[:, 1]).sum(dim=-1)
        return torch.cat([singles, left * right], dim=1)

    def forward(self, inputs: Tensor) -> Tensor:
        odds = self._terms(inputs).sum(dim=1) + self.intercept
        return (torch.stack([-odds, odds], dim=1) / 2).to(inputs.dtype)
