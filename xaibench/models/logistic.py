"""Logistic regression without gradient descent: Bayes-optimal weights, or a fit without a penalty."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.utils import skip_init

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.types import Array

_PROVIDES = {"gradients", "module", "truth.weights"}


@model("bayes_linear", provides=_PROVIDES)
def bayes_linear(data: Data) -> nn.Module:
    """The best linear rule for two classes, with the weights ``w`` that the data set provides: nothing is trained.

    The logits are ``-w @ x`` and ``w @ x``. So the slope of the predicted class is ``w`` or ``-w``,
    and what is known in closed form of the output ``w @ x`` holds without a factor.

    Raises
    ------
    UsageError
        If the data set does not say its ``bayes_weights``.
    """
    if "bayes_weights" not in data.facts:
        raise UsageError("bayes_linear needs a data set that provides the best weights", "'suppressor' does")
    weights = np.asarray(data.facts["bayes_weights"], dtype=np.float64).reshape(1, -1)
    return _linear(np.concatenate([-weights, weights]), np.zeros(2))


@model("logistic_regression", provides=_PROVIDES)
def logistic_regression(data: Data) -> nn.Module:
    """Logistic regression without a penalty, by maximum likelihood (scikit-learn, L-BFGS), as a torch module.

    Of two classes each gets half of the log odds, so that the probabilities are scikit-learn's.
    Classes that a hyperplane separates have no finite maximum; the weights are then those at which
    the solver stops.

    Raises
    ------
    UsageError
        If the training rows hold a single class.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    inputs = data.train_inputs.reshape(len(data.train_inputs), -1).astype(np.float64)
    classes = np.unique(data.train_targets)
    if len(classes) != data.n_classes:
        raise UsageError(f"the training rows hold {len(classes)} of {data.n_classes} classes")
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1_000).fit(inputs, data.train_targets)
    weights, bias = fitted.coef_, fitted.intercept_
    if len(classes) == 2:
        weights, bias = (np.concatenate([-half, half]) for half in (weights / 2, bias / 2))
    return _linear(weights, bias)


def _linear(weights: Array, bias: Array) -> nn.Module:
    """A module whose logits are ``weights @ x + bias``, with x flattened."""
    # Without the usual random start, which would move the caller's generator.
    layer = skip_init(nn.Linear, weights.shape[1], len(weights))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights))
        layer.bias.copy_(torch.from_numpy(bias))
    return nn.Sequential(nn.Flatten(), layer).eval()
