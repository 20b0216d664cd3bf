"""How many samples a network is given at once, by the activations that one of them makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from xaibench.core.context import Context
from xaibench.core.graphs import adjacency_bytes

LARGEST_BATCH = 2**13
RECURRENT_BATCH = 2**12
"""The largest batch of a network with recurrent layers: twice as many cost up to 1.9 times as much per sample."""
STATE_BUDGET = 2**27
"""Bytes of hidden states, summed over recurrent layers, that a batch may produce.

It is more than that of other activations, because a recurrent layer takes its steps one after the other, whatever the
batch: GRU and LSTM of 32 and 64 units over 50 to 200 steps have no trend from 256 to 4,096 samples on, and batches of
64 cost up to five times as much per gradient.
"""


def batch_size_for(module: nn.Module, one: Tensor, context: Context, budget: int) -> int:
    """The largest power of two, up to `LARGEST_BATCH`, whose activations fit the budget.

    Parameters
    ----------
    module : torch.nn.Module
    one : Tensor (1, *input_shape)
        A copy: a module may change its inputs in place.
    context : mapping of str to Tensor (1, ...)
    budget : int
        Bytes of activations, without those of recurrent layers, which have `STATE_BUDGET` and `RECURRENT_BATCH`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> batch_size_for(nn.Linear(6, 3), torch.zeros(1, 6), {}, budget=1000)
    16
    >>> class Last(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.gru = nn.GRU(3, 32, batch_first=True)
    ...     def forward(self, x):
    ...         return self.gru(x)[0][:, -1]
    >>> batch_size_for(Last(), torch.zeros(1, 200, 3), {}, budget=2**25)
    4096
    """
    recurrent = [m for m in module.modules() if isinstance(m, nn.RNNBase)]
    states = 0

    def count(layer: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal states
        found = output[0] if isinstance(output, tuple) else output
        tensor = found.data if isinstance(found, nn.utils.rnn.PackedSequence) else found
        assert isinstance(layer, nn.RNNBase)
        states += layer.num_layers * tensor.numel() * tensor.element_size()

    with hooked([layer.register_forward_hook(count) for layer in recurrent]):
        fits = budget / max(activation_bytes(module, one, context), 1)
    if not recurrent:
        return _power_of_two(fits, LARGEST_BATCH)
    return _power_of_two(min(fits, STATE_BUDGET / max(states, 1)), RECURRENT_BATCH)


def _power_of_two(fits: float, most: int) -> int:
    return int(2 ** np.clip(np.floor(np.log2(max(fits, 1))), 0, np.log2(most)))


def activation_bytes(module: nn.Module, one: Tensor, context: Context | None = None) -> int:
    """Bytes of all leaf modules' outputs (and of input and context) for one sample; recurrent layers do not count."""
    total = sum(t.numel() * t.element_size() for t in (one, *(context or {}).values()))

    def count(_module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal total
        if isinstance(output, Tensor):
            total += output.numel() * output.element_size()

    leaves = [m for m in module.modules() if not any(True for _ in m.children())]
    total += adjacency_bytes(one, context or {}) * max(len(leaves), 1)
    handles = [leaf.register_forward_hook(count) for leaf in leaves]
    with hooked(handles), torch.no_grad():
        module(one, **(context or {}))
    return total


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove hooks on the way out, whatever happens."""
    with ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield
