"""FIT (Tonekaboni et al. 2020): how far a sensor of a step alone brings the prediction from that of the step before."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.steps import OWN_STEPS, OwnStepModule, require_own_steps
from xaibench.explainers.engines.next_step_generator import NextStep, fitted_generator
from xaibench.explainers.engines.step_terms import CELLS_AT_ONCE, clean_series


@explainer("fit", kind="contribution", needs={"series", "gradients", "background", OWN_STEPS})
def fit(
    problem: ProblemView,
    *,
    n_samples: PositiveInt = 10,
    width: PositiveInt = 8,
    epochs: PositiveInt = 100,
    draws: Draws,
) -> Tensor:
    """Feature importance in time (Tonekaboni et al. 2020): the shift of the prediction that a sensor explains.

    ``KL(p_t || p_(t-1)) - mean over draws of KL(p_t || p(y | past, x_t,d, other sensors drawn))`` for the sensor d of
    step t: how much nearer than the step before one is to the prediction of step t, knowing this sensor alone of it.
    The other sensors are drawn from a generator, a GRU that predicts mean and variance of the next step, fitted to
    the background once and cached. Only for models with classes per step.

    It asks which cells *changed* a prediction: where nothing changes, every sensor gets about 0, whatever the model
    uses.

    Parameters
    ----------
    n_samples : int
        Draws of the other sensors.
    width : int
        States of the generator.
    epochs : int
        Of its training; every epoch is one step on the whole background.

    Raises
    ------
    UnsupportedError
        If the model has no classes per step, or the problem no background.
    """
    module = require_own_steps(problem.model)
    background = problem.require_background("fit needs a background, which its generator is fitted to")
    series, _ = clean_series(problem)
    with torch.no_grad():
        after = module.own_outputs(problem.inputs, series).log_softmax(dim=2)
    if after.shape[2] < 2:
        raise UnsupportedError("fit compares distributions over classes, and the model has one output per step")
    if len(problem.layout.feature_shape) != 2:
        raise UnsupportedError("fit takes series of several sensors, (N, T, D)")
    # The prediction before the first step is unknown; it counts as that of the first step, so that nothing shifts.
    before = torch.cat([after[:, :1], after[:, :-1]], dim=1)
    shift = _divergence(after, before)
    expected = fitted_generator(background, width, epochs).of(series)
    drawn = _noise(draws, n_samples, problem.layout.feature_shape)
    unexplained = [_unexplained(problem, module, series, expected, drawn, after, d) for d in range(series.shape[2])]
    return (shift.unsqueeze(2) - torch.stack(unexplained, dim=2)).to(problem.inputs.dtype)


def _noise(draws: Draws, n: int, shape: tuple[int, ...]) -> Tensor:
    return draws.normal((n, *shape))


def _unexplained(
    problem: ProblemView,
    module: OwnStepModule,
    series: Tensor,
    expected: NextStep,
    noise: Tensor,
    after: Tensor,
    sensor: int,
) -> Tensor:
    """Mean divergence (N, T) from the prediction where only one sensor of the step is the sample's own."""
    n, parts = noise.shape[1], []
    size = max(1, CELLS_AT_ONCE // noise[0].numel())
    for start in range(0, len(problem), size):
        rows = slice(start, start + size)
        drawn = expected.mean[rows].unsqueeze(1) + expected.deviation[rows].unsqueeze(1) * noise[rows]
        drawn[..., sensor] = problem.inputs[rows].unsqueeze(1)[..., sensor]
        clean = series[rows].repeat_interleave(n, dim=0)
        with torch.no_grad():
            found = module.own_outputs(drawn.flatten(0, 1), clean).log_softmax(dim=2)
        problem.model.n_evaluations += len(clean)
        found = found.view(-1, n, *found.shape[1:])
        parts.append(_divergence(after[rows].unsqueeze(1), found).mean(dim=1))
    return torch.cat(parts)


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Kullback-Leibler divergence of q from p, over the last axis."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
