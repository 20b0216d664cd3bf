"""Degraded oracles: the ground truth with noise added in steps, so that the right order is known in an audit."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.controls import oracle, truth_attribution_kind


@explainer("degraded_oracle", kind=truth_attribution_kind, needs={"truth"})
def degraded_oracle(problem: ProblemView, *, noise: NonNegativeFloat = 1.0, draws: Draws) -> Tensor:
    """The oracle's map, scaled to a root mean square of one per sample, plus noise from N(0, noise^2).

    The more noise, the worse the explanation, so a metric that knows good from bad must fall with
    it. No control: it is in a suite only where the suite names it, and no placebo.

    Parameters
    ----------
    noise : float
        Noise per signal: 0 is the oracle, at 1 both have the same power, and far above it nothing
        is left of the truth. Every level adds the same draws, only larger, which makes levels
        comparable sample by sample.

    Returns
    -------
    Tensor (N, *feature_shape)
        Signed, where the truth is weights. A mask is unsigned, and stays so: the magnitude is
        taken after the noise.

    Raises
    ------
    UnsupportedError
        If the problem has no ground truth.
    """
    truth = oracle(problem)
    flat = truth.flatten(1)
    size = flat.square().mean(dim=1).sqrt().clamp(min=torch.finfo(flat.dtype).tiny)
    scaled = (flat / size[:, None]).view_as(truth)
    mixed = scaled + noise * draws.normal(problem.layout.feature_shape).to(scaled)
    return mixed.abs() if truth_attribution_kind(problem) == "saliency" else mixed
