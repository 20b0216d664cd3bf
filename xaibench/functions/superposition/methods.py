"""Explainers of an autoencoder's represented features: weights, outputs, theory, and two placebos."""

from __future__ import annotations

import numpy as np
import torch

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.errors import UnsupportedError
from xaibench.core.program_registry import interpreter
from xaibench.functions.superposition.theory import REPRESENTED, predicted_kind
from xaibench.functions.superposition.toy_models import ToyModel


@interpreter("weight_size", takes=["superposition"])
def weight_size(case: CaseView, draws: np.random.Generator) -> Scores:
    """Size of each feature's weight, or of its weights' vector where there are several hidden units; no runs."""
    model: ToyModel = case.given
    return Scores(model.weights.abs() if model.weights.ndim == 1 else model.weights.norm(dim=1))


@interpreter("feature_dropping", takes=["superposition"])
def feature_dropping(case: CaseView, draws: np.random.Generator) -> Scores:
    """Mean change of a feature's reconstruction when the feature is set to 0; three runs."""
    model: ToyModel = case.given
    clean = model.run(model.inputs)
    found = []
    for i in range(len(case.units)):
        dropped = model.inputs.clone()
        dropped[:, i] = 0
        found.append((clean - model.run(dropped))[:, i].abs().mean())
    return Scores(torch.stack(found))


@interpreter("own_gradient", takes=["superposition"])
def own_gradient(case: CaseView, draws: np.random.Generator) -> Scores:
    """Mean size of the derivative of a feature's reconstruction in the feature itself, over inputs that have it."""
    model: ToyModel = case.given
    inputs = model.inputs.clone().requires_grad_()
    outputs = model.run(inputs).sum(dim=0)
    found = []
    for i, output in enumerate(outputs):
        (gradient,) = torch.autograd.grad(output, inputs, retain_graph=True)
        there = model.inputs[:, i] > 0
        found.append(gradient[there, i].abs().sum() / max(int(there.sum()), 1))
    return Scores(torch.stack(found))


@interpreter("closed_form_prediction", takes=["superposition"])
def closed_form_prediction(case: CaseView, draws: np.random.Generator) -> Scores:
    """The features of the closed form with the smallest loss; sees probability and importances, and not the net.

    Raises
    ------
    UnsupportedError
        If there are more than two features: there is no closed form.
    """
    model: ToyModel = case.given
    if len(case.units) != 2:
        raise UnsupportedError(f"there is no closed form for {len(case.units)} features")
    return Scores(torch.tensor(REPRESENTED[predicted_kind(model.probability, float(model.importance[1]))]))


@interpreter("most_important_only", takes=["superposition"], control=True)
def most_important_only(case: CaseView, draws: np.random.Generator) -> Scores:
    """The more important feature only, the first of equal ones: a placebo that never looks at the net."""
    model: ToyModel = case.given
    return Scores((torch.arange(len(case.units)) == model.importance.argmax()).double())


@interpreter("always_both", takes=["superposition"], control=True)
def always_both(case: CaseView, draws: np.random.Generator) -> Scores:
    """All features, always: a placebo that never looks at the net."""
    return Scores(torch.ones(len(case.units), dtype=torch.float64))
