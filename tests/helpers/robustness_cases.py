"""Explanations that move with the input, and calls, for the tests of robustness."""

from __future__ import annotations

from torch import Tensor

from xaibench.core.components import ExplainerSpec, MetricSpec
from xaibench.core.evaluation import Evaluation
from xaibench.core.explaining import explain_function
from xaibench.core.problem import ProblemView
from xaibench.core.registry import get
from xaibench.core.scoring import score

RADIUS, N_SAMPLES = 0.2, 10


def run(name: str, ev: Evaluation, **params) -> Tensor:
    spec = get("metric", name)
    assert isinstance(spec, MetricSpec)
    return score(spec, spec.bind(params), ev).values


def registered(name: str, **params):
    spec = get("explainer", name)
    assert isinstance(spec, ExplainerSpec)
    return explain_function(spec, spec.bind(params))


def noise_of(view: ProblemView, n_samples: int = N_SAMPLES, radius: float = RADIUS) -> Tensor:
    """The noise of the family (N, n_samples, *input_shape)."""
    return radius * (2 * view.draws(f"robustness/{radius}").uniform((n_samples, *view.layout.input_shape)) - 1)


def itself(view: ProblemView, stream: str = "") -> Tensor:
    """The input as its own explanation."""
    return view.layout.reduce(view.inputs)


def times_gradient(view: ProblemView, stream: str = "") -> Tensor:
    return view.layout.reduce(view.inputs * view.gradients(view.inputs))
