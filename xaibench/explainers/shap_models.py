"""shap's explainers of models of a kind: trees, linear functions, torch networks."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.libraries import first_line, import_library
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.types import Array
from xaibench.explainers.engines.library_calls import (
    ExplainedOutput,
    array_function,
    by_target,
    flat_rows,
    one_by_one,
    reference_rows,
)

ADDITIVITY_TOLERANCE = 1e-3
"""Largest error with which attributions may add up to the explained number, relative to its spread."""


@explainer("shap:Tree", kind="contribution", needs={"table", "background"})
def shap_tree(
    problem: ProblemView,
    *,
    model_output: Literal["raw", "probability"] = "raw",
    feature_perturbation: Literal["auto", "interventional", "tree_path_dependent"] = "auto",
) -> Tensor:
    """shap's TreeExplainer of a scikit-learn ensemble over at most 100 background rows: exact Shapley values.

    Parameters
    ----------
    model_output : {"raw", "probability"}
        What is explained: what the trees add up, which of boosted trees are log odds; or the probability, for which
        the library scales the values of the log odds, so that they add up and are not its Shapley values.
    feature_perturbation : {"auto", "interventional", "tree_path_dependent"}
        Columns from background rows (``auto`` too), or along the paths of the trees, without them.

    Raises
    ------
    UnsupportedError
        If the model is not an ensemble of trees that the library reads, or attributions add up to another number
        than the one that is explained.
    """
    shap = import_library("shap")
    estimator = problem.model.estimator
    if estimator is None:
        raise UnsupportedError(
            "shap:Tree reads fitted scikit-learn ensembles of trees, and this model is something else",
            "shap:Kernel and shap:Permutation take any model",
        )
    rows = None if feature_perturbation == "tree_path_dependent" else flat_rows(reference_rows(problem))

    def call(view: ProblemView) -> Tensor:
        try:
            method = shap.TreeExplainer(
                estimator, rows, model_output=model_output, feature_perturbation=feature_perturbation
            )
            values = np.asarray(method.shap_values(flat_rows(view.inputs)), np.float64)
        except Exception as error:  # Whatever the library says of a model that it does not read.
            raise UnsupportedError(f"shap:Tree refuses this model: {first_line(error)}", "shap:Kernel") from error
        return _of_target(view, values, np.asarray(method.expected_value, np.float64))

    return problem.layout.reduce(by_target(problem, call))


def _of_target(view: ProblemView, values: Array, expected: Array) -> Tensor:
    """Attributions (n, D) of the samples' one target, which add up to the explained number."""
    target = int(view.targets[0])
    expected = expected.reshape(-1)
    if values.ndim == 3:
        chosen, base = values[:, :, target], expected[target]
    else:
        # One number for two classes: that of the second.
        sign = 1.0 if target == 1 or view.model.returns == "value" else -1.0
        chosen, base = sign * values, sign * expected[0]
        if sign < 0 and view.output == "probability":
            base = 1 + base
    explained = view.scores(view.inputs).double().cpu().numpy()
    gap = float(np.abs(chosen.sum(axis=1) + base - explained).max())
    if gap > ADDITIVITY_TOLERANCE * max(1.0, float(np.abs(explained).max())):
        raise UnsupportedError(
            f"shap:Tree explains another number than the {view.output} of the model (they differ by up to {gap:.3g})",
            'model_output="probability" explains the probability of boosted trees',
        )
    return torch.from_numpy(chosen).to(view.inputs)


@explainer("shap:Linear", kind="contribution", needs={"table", "background"})
def shap_linear(problem: ProblemView) -> Tensor:
    """shap's LinearExplainer over at most 100 background rows: coefficients times differences from their means.

    The coefficients are found by asking the model, so it may be any that is linear in its columns.

    Raises
    ------
    UnsupportedError
        If the explained number is not linear.
    """
    shap = import_library("shap")
    rows = flat_rows(reference_rows(problem))

    def call(view: ProblemView) -> Tensor:
        coefficients, intercept = _coefficients(view.take(slice(0, 1)), rows)
        masker = shap.maskers.Independent(rows, max_samples=len(rows))
        values = shap.LinearExplainer((coefficients, intercept), masker).shap_values(flat_rows(view.inputs))
        return torch.from_numpy(np.asarray(values, np.float64)).to(view.inputs)

    return problem.layout.reduce(by_target(problem, call))


def _coefficients(view: ProblemView, rows: Array) -> tuple[Array, float]:
    """Slopes (D,) and intercept of the explained number, if it is linear.

    Raises
    ------
    UnsupportedError
        If it is not.
    """
    function = array_function(view)
    d = rows.shape[1]
    # A step as long as the data, so that rounding of the outputs does not matter.
    step = max(1.0, float(np.abs(rows).max()))
    found = function(np.concatenate([np.zeros((1, d)), step * np.eye(d)]))
    slopes, intercept = (found[1:] - found[0]) / step, float(found[0])
    values = function(rows)
    gap = float(np.abs(rows @ slopes + intercept - values).max())
    if gap > ADDITIVITY_TOLERANCE * max(1.0, float(np.abs(values).max())):
        raise UnsupportedError(
            f"shap:Linear needs a linear model, and the {view.output} of this one is not linear",
            "shap:Kernel and shap:Permutation take any model",
        )
    return slopes, intercept


@explainer("shap:Deep", kind="contribution", needs={"module"}, uses_background=True)
def shap_deep(problem: ProblemView, *, check_additivity: bool = True) -> Tensor:
    """shap's DeepExplainer, rules like DeepLift's, averaged over at most 100 background rows.

    Operations that it does not know are passed as if they were linear; where attributions then do not add up, the
    library raises, and the cell has failed.

    Parameters
    ----------
    check_additivity : bool
        Raise where attributions do not add up.
    """
    shap = import_library("shap")
    output, rows = ExplainedOutput(problem, column=True), reference_rows(problem)

    def call(view: ProblemView) -> Tensor:
        method = shap.DeepExplainer(output.aim(view), rows)
        found = method.shap_values(view.inputs, check_additivity=check_additivity)
        return _column(view, found)

    return problem.layout.reduce(by_target(problem, call))


@explainer("shap:Gradient", kind="contribution", needs={"module", "gradients"}, uses_background=True)
def shap_gradient(
    problem: ProblemView, *, nsamples: PositiveInt = 200, local_smoothing: NonNegativeFloat = 0.0, draws: Draws
) -> Tensor:
    """shap's GradientExplainer: expected gradients from at most 100 background rows, one sample after the other.

    Parameters
    ----------
    nsamples : int
        Points.
    local_smoothing : float
        Standard deviation of noise on the inputs.
    """
    shap = import_library("shap")
    output, rows = ExplainedOutput(problem, column=True), reference_rows(problem)

    def call(view: ProblemView, seed: int) -> Tensor:
        method = shap.GradientExplainer(output.aim(view), rows, local_smoothing=local_smoothing)
        return _column(view, method.shap_values(view.inputs, nsamples=nsamples, rseed=seed % 2**31))

    return problem.layout.reduce(one_by_one(problem, draws, call))


def _column(view: ProblemView, found: Any) -> Tensor:
    """Maps (n, *input_shape) from what the library gives for the only output."""
    values = np.asarray(found[0] if isinstance(found, list) else found, np.float64)
    return torch.from_numpy(values.reshape(view.inputs.shape)).to(view.inputs)
