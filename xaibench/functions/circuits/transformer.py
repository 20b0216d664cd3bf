"""A small transformer that runs edge by edge: each input of a node reads the sum of the messages on its own edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from xaibench.functions.circuits.graph import EDGES, LEVELS, SENDERS, channels

SHARPNESS = 30.0
"""Factor of the products of queries and keys before the softmax: attention of compiled heads is almost hard."""


@dataclass(frozen=True, eq=False)
class Head:
    """Attention head: softmax(30 q k) v, written by ``output``.

    Attributes
    ----------
    query, key : Tensor (D, k)
    value : Tensor (D, j)
    output : Tensor (j, D)
    causal : bool
        Whether a position sees itself and earlier ones only.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    causal: bool = False

    def reads(self) -> dict[str, Tensor]:
        """What each input takes out of the residual stream, by channel."""
        return {"q": self.query, "k": self.key, "v": self.value}

    def __call__(self, read: Mapping[str, Tensor]) -> Tensor:
        queries, keys = read["q"] @ self.query, read["k"] @ self.key
        scores = SHARPNESS * queries @ keys.transpose(-1, -2)
        if self.causal:
            length = scores.shape[-1]
            later = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        return scores.softmax(-1) @ (read["v"] @ self.value) @ self.output


@dataclass(frozen=True, eq=False)
class Perceptron:
    """MLP relu(x hidden) output, without biases: constants come on the edge from the positions.

    Attributes
    ----------
    hidden : Tensor (D, h)
    output : Tensor (h, D)
    """

    hidden: Tensor
    output: Tensor

    def reads(self) -> dict[str, Tensor]:
        """What the input takes out of the residual stream."""
        return {"": self.hidden}

    def __call__(self, read: Mapping[str, Tensor]) -> Tensor:
        return (read[""] @ self.hidden).relu() @ self.output


@dataclass(frozen=True, eq=False)
class Readout:
    """The output node: a linear readout (D, K), cut off above at ``cap`` where there is one."""

    weights: Tensor
    cap: float | None = None

    def reads(self) -> dict[str, Tensor]:
        """What the input takes out of the residual stream."""
        return {"": self.weights}

    def __call__(self, read: Mapping[str, Tensor]) -> Tensor:
        value = read[""] @ self.weights
        return value if self.cap is None else value.clamp(max=self.cap)


class _Messages:
    """What senders have written, (S, N, L, D): in one place where no gradient is taken, else stacked when it is read.

    Parameters
    ----------
    size : int
        Senders.
    differentiable : bool
    """

    def __init__(self, size: int, *, differentiable: bool) -> None:
        self._size, self._differentiable = size, differentiable
        self._sent: list[Tensor] = []
        self._place = torch.empty(0)

    def add(self, message: Tensor) -> None:
        """The message (N, L, D) of the next sender."""
        if not self._differentiable:
            if not self._sent:
                self._place = message.new_empty(self._size, *message.shape)
            self._place[len(self._sent)] = message
        self._sent.append(message)

    def first(self, n: int) -> Tensor:
        """Messages of the first n senders, (n, N, L, D)."""
        return torch.stack(self._sent[:n]) if self._differentiable else self._place[:n]


@dataclass(frozen=True, eq=False)
class Transformer:
    """A transformer whose nodes are joined by edges that can be replaced one by one.

    Attributes
    ----------
    token : Tensor (V, D)
        Messages of the tokens.
    position : Tensor (L, D)
        Messages of the positions.
    nodes : mapping of str to Head, Perceptron or Readout
        Every node that reads.
    """

    token: Tensor
    position: Tensor
    nodes: Mapping[str, Head | Perceptron | Readout]

    def __call__(
        self,
        inputs: Tensor,
        replaced: Tensor | None = None,
        messages: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run, with the messages of some edges replaced.

        Parameters
        ----------
        inputs : Tensor (N, L) of int64
            Tokens.
        replaced : Tensor (E,), optional
            How much of each edge's message is replaced: 0 nothing, 1 all of it. Differentiable.
        messages : Tensor (N or 1, S, L, D), optional
            By what: a message of each sender, in the order of `graph.SENDERS`. Zero by default.
        offsets : Tensor (E, N, L, D), optional
            Added to the message of each edge; its gradient is that of the edge.

        Returns
        -------
        output : Tensor (N, L, K)
        messages : Tensor (N, S, L, D)
            What every sender wrote in this run.
        """
        n, length = inputs.shape
        written = _Messages(
            len(SENDERS), differentiable=any(t is not None and t.requires_grad for t in (replaced, messages, offsets))
        )
        written.add(self.token[inputs])
        written.add(self.position[:length].expand(n, -1, -1))
        kept = torch.ones(len(EDGES), dtype=self.token.dtype) if replaced is None else 1 - replaced
        instead = None if replaced is None or messages is None else messages.transpose(0, 1).contiguous()
        added = offsets is not None and (offsets.requires_grad or bool(offsets.any()))
        changed = (kept.detach() != 1).tolist()
        first = 0
        for name in tuple(LEVELS)[2:]:
            below = sum(LEVELS[sender] < LEVELS[name] for sender in SENDERS)
            inputs_of = channels(name)
            edges = slice(first, first + len(inputs_of) * below)
            first = edges.stop
            shares = kept[edges].view(len(inputs_of), below)
            read = torch.tensordot(shares, written.first(below), dims=1)
            if instead is not None and (shares.requires_grad or any(changed[edges])):
                read = read + torch.tensordot(1 - shares, instead[:below], dims=1)
            if added and offsets is not None:
                read = read + offsets[edges].view(len(inputs_of), below, *offsets.shape[1:]).sum(dim=1)
            found = self.nodes[name](dict(zip(inputs_of, read, strict=True)))
            if name == "out":
                return found, written.first(len(SENDERS)).transpose(0, 1).contiguous()
            written.add(found)
        raise AssertionError("the output is the last node")

    @property
    def writes(self) -> tuple[Tensor, ...]:
        """What every sender can write, (rows, D) each, in the order of `graph.SENDERS`."""
        found = [self.token, self.position]
        for name in SENDERS[2:]:
            node = self.nodes[name]
            assert not isinstance(node, Readout)
            found.append(node.output)
        return tuple(found)
