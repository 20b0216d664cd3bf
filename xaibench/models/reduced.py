"""Networks with an output at every place (segmentation), reduced to the mean over a region that stays fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.errors import UsageError
from xaibench.core.model_outputs import read_output

TORCHVISION = "out"
"""The entry of a dictionary that torchvision's segmentation networks return."""


class Reduced(nn.Module):
    """A segmentation network whose logits are averaged over a region, one region per sample.

    The region goes to the model as the context ``region``, so that it belongs to the sample and not to its changed
    copies: a region that moved with every perturbation would be another question each time. Means, not sums, so that
    regions of different sizes compare. What is explained is the mean logit of a class; probabilities are the softmax of
    the means.

    Parameters
    ----------
    module : torch.nn.Module
        Maps inputs (N, ...) to logits (N, C, *places), or to a dictionary with the entry ``logits`` or ``out``.

    Examples
    --------
    Outside the region, a network of 1x1 convolutions gets no attribution:

    >>> import torch
    >>> import xaibench as xb
    >>> network = xb.Reduced(torch.nn.Conv2d(1, 2, 1))
    >>> region = torch.zeros(1, 4, 4, dtype=torch.bool)
    >>> region[0, 1, 2] = True
    >>> images = torch.ones(1, 1, 4, 4)
    >>> maps = xb.explain("gradient", model=network, inputs=images, context={"region": region}, targets=1)
    >>> (maps != 0).sum().item()
    1
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.train(module.training)

    def forward(self, inputs: Tensor, region: Tensor) -> Tensor:
        """Mean logits (N, C) over regions (N, *places), of booleans or of weights that are not negative.

        Raises
        ------
        UsageError
            If the network has no output at places, or a region has another shape or is empty.
        """
        maps = self._maps(inputs)
        if tuple(region.shape) != (len(maps), *maps.shape[2:]):
            raise UsageError(
                f"region has shape {tuple(region.shape)}, the places of the outputs are {tuple(maps.shape[2:])}",
                "give one region per sample, (N, *places)",
            )
        weights = region.to(maps.dtype).flatten(1)
        total = weights.sum(dim=1, keepdim=True)
        empty = (total <= 0).flatten().nonzero().flatten().tolist()
        if empty:
            raise UsageError(f"the region of sample {empty[0]} is empty", "a region has at least one place")
        return (maps.flatten(2) * (weights / total).unsqueeze(1)).sum(dim=2)

    def predicted(self, inputs: Tensor, targets: int | Tensor) -> Tensor:
        """Where a class has the largest output of all, of each sample: regions (N, *places) of bool.

        Parameters
        ----------
        inputs : Tensor (N, ...)
            The samples as they are, not changed copies.
        targets : int or Tensor (N,) of int
            The class, of all samples or of each.

        Raises
        ------
        UsageError
            If a sample has no such place.
        """
        training = self.module.training
        self.module.eval()
        with torch.no_grad():
            maps = self._maps(inputs)
        self.module.train(training)
        wanted = torch.as_tensor(targets, device=maps.device).expand(len(maps))
        found = maps.argmax(dim=1) == wanted.view(-1, *[1] * (maps.ndim - 2))
        empty = (~found.flatten(1).any(dim=1)).nonzero().flatten().tolist()
        if empty:
            raise UsageError(
                f"class {int(wanted[empty[0]])} is predicted at no place of sample {empty[0]}",
                "give a region of your own, or leave this sample out",
            )
        return found

    def _maps(self, inputs: Tensor) -> Tensor:
        answer: Any = self.module(inputs)
        if isinstance(answer, Mapping) and "logits" not in answer and TORCHVISION in answer:
            answer = answer[TORCHVISION]
        maps = read_output(answer)
        if maps.ndim < 3:
            raise UsageError(
                f"the network returned shape {tuple(maps.shape)}, which has no places", "Reduced takes (N, C, *places)"
            )
        return maps
