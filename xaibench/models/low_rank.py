"""Low-rank adapters (Hu et al. 2022, LoRA): few numbers beside frozen weights are trained, then added to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from xaibench.core.errors import UsageError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LowRankChange(nn.Module):
    """A weight W (out, in, 1, ...) becomes W + B A, with A (R, in) drawn and B (out, R) 0 at first.

    Parameters
    ----------
    weight : Tensor (out, in) or (out, in, 1, ...)
    rank : int
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        n_out, n_in = weight.shape[:2]
        self.a = nn.Parameter(torch.randn(rank, n_in, dtype=weight.dtype) / n_in**0.5)
        self.b = nn.Parameter(torch.zeros(n_out, rank, dtype=weight.dtype))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.b @ self.a).reshape(weight.shape)


def takes_low_rank(part: nn.Module) -> bool:
    """Whether a module is linear over its channels: `nn.Linear`, or a convolution of one place without groups."""
    if isinstance(part, _CONVOLUTIONS):
        return all(size == 1 for size in part.kernel_size) and part.groups == 1
    return isinstance(part, nn.Linear)


def add_low_rank(module: nn.Module, rank: int) -> list[nn.Parameter]:
    """Freeze a network, put a change of this rank beside every linear layer, and return what is trained.

    Raises
    ------
    UsageError
        If it has no linear layer and no 1 x 1 convolution.

    Examples
    --------
    >>> import torch
    >>> from xaibench.models.low_rank import add_low_rank, merge_low_rank
    >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> [tuple(p.shape) for p in add_low_rank(net, 1)]
    [(1, 3), (4, 1), (1, 4), (2, 1)]
    >>> merge_low_rank(net)
    >>> sorted(net.state_dict())
    ['0.bias', '0.weight', '2.bias', '2.weight']
    """
    layers = [part for part in module.modules() if takes_low_rank(part)]
    if not layers:
        raise UsageError("the network has no linear layer and no 1 x 1 convolution", 'write layers = "all" or "last:2"')
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    trained: list[nn.Parameter] = []
    for layer in layers:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        change = LowRankChange(weight, rank)
        parametrize.register_parametrization(layer, "weight", change)
        trained += [change.a, change.b]
    return trained


def merge_low_rank(module: nn.Module) -> None:
    """Add every change to its weight, so that the network has the layers and names that it had."""
    for part in list(module.modules()):
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight", leave_parametrized=True)
