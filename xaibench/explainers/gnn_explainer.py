"""GNNExplainer (Ying et al. 2019): a mask over the edges of a graph, learned for each sample."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines.edge_masks import EdgeMaskLoss, mask_penalty

FIRST_SPREAD = 0.1
"""Standard deviation of the scores of a mask before the first step."""


@explainer("gnn_explainer", kind="saliency", needs={"graph", "gradients"}, version=1)
def gnn_explainer(
    problem: ProblemView,
    *,
    epochs: PositiveInt = 100,
    learning_rate: PositiveFloat = 0.05,
    size: NonNegativeFloat = 0.005,
    entropy: NonNegativeFloat = 1.0,
    draws: Draws,
) -> Tensor:
    """A mask over edges under which the model still gives the explained class, small and near 0 or 1.

    The mask is ``m = sigmoid(s)``, and Adam walks down ``-log p(class | w m) + size sum(m) + entropy mean(H(m))``,
    where H is the entropy of an edge's mask in nats (Ying et al. 2019, Eq. 5 with the regularisers of the published
    code); for models that return values the first term is the squared distance from the value of the whole graph. Every
    sample is a problem of its own, so that its mask does not depend on the others. A mask in [0, 1] has no way to say
    that an edge speaks against the class. And where ``size`` is small, the entropy sends an edge that changes nothing
    to 0 or 1, whichever it starts nearer to: with the published weights half of such edges end near 1.

    Parameters
    ----------
    epochs : int
        Steps of Adam.
    learning_rate : float
    size : float
        Weight of the sum of the mask.
    entropy : float
        Weight of the mean entropy of the mask.

    Returns
    -------
    Tensor (N, E)
        The mask, from 0 to 1.

    Notes
    -----
    One mask per edge: torch_geometric 2.8 has one per direction of an undirected edge, starts with another spread
    (``sqrt(2 / n_nodes)``), counts the regularisers from the second step on, and only over edges with a gradient.
    """
    start = FIRST_SPREAD * draws.normal(problem.layout.feature_shape).to(problem.inputs)
    loss = EdgeMaskLoss(problem)
    maps = []
    for rows in blocks_of_samples(problem):
        scores = start[rows].clone().requires_grad_()
        optimizer = torch.optim.Adam([scores], lr=learning_rate)
        with torch.enable_grad():
            for _ in range(epochs):
                mask = scores.sigmoid()
                total = loss(mask, rows) + mask_penalty(mask, size, entropy)
                (scores.grad,) = torch.autograd.grad(total.sum(), scores)
                optimizer.step()
        maps.append(scores.detach().sigmoid())
    return torch.cat(maps)


def blocks_of_samples(problem: ProblemView) -> list[slice]:
    """Slices of samples that are optimised together: as many as the model takes at a time."""
    size = problem.batch_size
    return [slice(i, min(i + size, len(problem))) for i in range(0, len(problem), size)]
