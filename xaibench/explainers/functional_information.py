"""Functional information: how fast a probability changes with a feature, under noise."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.outputs import check_output
from xaibench.core.problem import ProblemView
from xaibench.core.registry import explainer
from xaibench.explainers.engines import perturbed_copies
from xaibench.explainers.engines.perturbed_copies import check_positive


@explainer("functional_information", kind="saliency", needs={"gradients"})
def functional_information(
    problem: ProblemView, *, n_samples: PositiveInt = 32, radius: float = 0.15, draws: Draws
) -> Tensor:
    """Fisher information of the location of a feature in the probability (Gat et al. 2022, functional information).

    ``E[(d_j p)^2 / p]`` over Gaussian noise around the sample, p being the probability of what is explained, whatever
    the output; summed over channels. For ``p = exp(w z)`` it is w^2 times the mean of p.

    Parameters
    ----------
    n_samples : int
        Noisy copies.
    radius : float
        Standard deviation of the noise, in input units.

    Raises
    ------
    UnsupportedError
        If the model returns values, from which there is no probability.
    """
    check_positive(n_samples=n_samples)
    check_output("probability", problem.model.returns, contrastive=problem.foils is not None)
    of_probability = replace(problem, output="probability")
    maps = []
    for block, parts in perturbed_copies.copy_blocks(problem, n_samples):
        view, own = of_probability.take(block), draws[block]
        total = torch.zeros_like(view.inputs)
        for part in parts:
            noise = view.layout.only_quantities(own.normal((part.stop - part.start, *view.layout.input_shape)), "noise")
            copies = view.inputs.unsqueeze(1) + radius * noise
            slopes, chance = perturbed_copies.gradients(view, copies), perturbed_copies.scores(view, copies)
            chance = chance.to(slopes).reshape(*chance.shape, *(1,) * (slopes.ndim - 2))
            # As g (g / p): squares of small slopes underflow.
            ratio = slopes / torch.where(chance > 0, chance, 1)
            total += torch.where(chance > 0, slopes * ratio, 0).sum(dim=1)
        maps.append(problem.layout.reduce(total / n_samples))
    return torch.cat(maps)
