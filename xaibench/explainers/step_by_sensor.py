"""Step by sensor: what a step loses times what a sensor loses, the cheap opponent of temporal rescaling."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.core.series_groups import SeriesGroup, series_groups
from xaibench.explainers.engines.coalitions import Players
from xaibench.explainers.engines.perturbed_copies import sample_blocks
from xaibench.explainers.engines.removed_groups import group_losses


@explainer("step_by_sensor", kind="saliency", needs={"series"})
def step_by_sensor(problem: ProblemView, *, masker: str = "zero") -> Tensor:
    """Output lost without a step times output lost without a sensor, where both lose something.

    ``max(0, f(x) - f(x without step t)) max(0, f(x) - f(x without sensor d))``: T + D evaluations of the model. It is
    the outer product of two marginal importances, so it cannot tell two boxes from their four crossings.

    Parameters
    ----------
    masker : str
        What removed steps and sensors are set to.

    Returns
    -------
    Tensor (N, *feature_shape)
        0 or more.
    """
    return _losses(problem, "steps", masker) * _losses(problem, "sensors", masker)


def _losses(problem: ProblemView, group: SeriesGroup, masker: str) -> Tensor:
    """Loss of the group that every cell is in, at least 0: (N, *feature_shape)."""
    labels = series_groups(problem.layout, group).to(problem.inputs.device)
    players = Players(labels, int(labels.max()) + 1)
    removed = players.expand(torch.eye(players.count, dtype=torch.bool, device=labels.device))
    clean = problem.scores(problem.inputs)
    blocks = sample_blocks(problem, 8 * players.count)
    losses = torch.cat([group_losses(problem.take(b), clean[b], removed, masker) for b in blocks])
    return players.expand(losses.clamp(min=0))
