"""What an explainer sees of a circuit, and how the messages on its edges are ablated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from xaibench.core.cases.content import ADDED_LATER
from xaibench.functions.circuits.graph import LEVELS, Edge

Ablation = Literal["zero", "mean", "resample"]
"""What takes the place of a message: zeros, its mean over reference inputs, or that of a run on another input."""

LEAKAGE = 1e-9
"""Effects below this share of ablating every edge are rounding, or what an almost hard softmax lets through."""


@dataclass(frozen=True, eq=False)
class Circuit:
    """A net as a graph of nodes and edges.

    Attributes
    ----------
    edges : tuple of Edge, E
    run : callable
        ``(inputs, replaced (E,), messages, offsets) -> (output (N, L, K), messages (N, S, L, D))``; see `Transformer`.
        Differentiable; calls and backward passes are counted.
    inputs : Tensor (N, L)
        Tokens of the inputs that are explained.
    partners : Tensor (N, L)
        For each of them another input, whose messages are put in its place by resampling.
    references : Tensor (R, L)
        Inputs that messages are averaged over.
    reads : mapping of str to Tensor (D, h)
        What each input of a node takes out of the residual stream, by `Edge.input`.
    writes : mapping of str to Tensor (j, D)
        What each sender can write into it.
    levels : mapping of str to int
        Depth of every node, embeddings at 0 and ``out`` last; all but that send, in the order of messages.
    """

    edges: tuple[Edge, ...]
    run: Callable[..., tuple[Tensor, Tensor]]
    inputs: Tensor
    partners: Tensor
    references: Tensor
    reads: Mapping[str, Tensor]
    writes: Mapping[str, Tensor]
    levels: Mapping[str, int] = field(default_factory=lambda: LEVELS, metadata=ADDED_LATER)

    @property
    def senders(self) -> tuple[str, ...]:
        """Nodes that write a message, in the order of messages."""
        return tuple(node for node in self.levels if node != "out")

    @cached_property
    def sender_rows(self) -> Tensor:
        """Place of each edge's sender among the messages, (E,)."""
        senders = self.senders
        return torch.tensor([senders.index(edge.sender) for edge in self.edges])

    def ablated_messages(self, ablation: Ablation) -> Tensor:
        """Messages that replace those of the inputs, (N, S, L, D), or (1, S, L, D) where they are the same for all.

        Parameters
        ----------
        ablation : {"zero", "mean", "resample"}
            Costs no run, or one: over the references, or the partners.
        """
        if ablation == "resample":
            return self.run(self.partners)[1].detach()
        if ablation == "mean":
            sent = self.run(self.references)[1].detach()
            # From the first one on, so that the mean of a constant is that constant to the last bit.
            return sent[:1] + (sent - sent[:1]).mean(dim=0, keepdim=True)
        return torch.zeros(
            1, len(self.senders), self.inputs.shape[1], next(iter(self.writes.values())).shape[1]
        ).double()

    def output_without(self, removed: Tensor, messages: Tensor) -> Tensor:
        """Output (N, L, K) with the messages of some edges (E,) replaced."""
        return self.run(self.inputs, removed.double(), messages)[0].detach()


def output_distance(output: Tensor, other: Tensor) -> float:
    """Mean squared difference of two outputs, over inputs, positions and components."""
    return float((output - other).square().mean())
