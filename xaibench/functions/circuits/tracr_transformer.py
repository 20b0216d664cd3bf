"""Transformers compiled by Tracr, run edge by edge: each input of a node reads the sum of the messages on its edges."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from xaibench.core.types import Array
from xaibench.functions.circuits.graph import Edge


class TracrGraph:
    """A compiled transformer as a graph: words, BOS and positions, a head and an MLP in each layer, the output.

    Words and BOS are nodes of their own: heads that select nothing read BOS, which would else look like a word.

    Parameters
    ----------
    net : mapping of str to array
        See `xaibench.datasets.tracr_programs.read_tracr`; of one head per layer.

    Attributes
    ----------
    levels : dict of str to int
        Depth of every node.
    edges : tuple of Edge
    """

    def __init__(self, net: Mapping[str, Array]) -> None:
        self.net = {
            name: torch.from_numpy(net[name]).double() for name in net if name.startswith(("token", "pos", "layer"))
        }
        self.output = torch.from_numpy(net["output"]).long()
        self.bos = [str(word) for word in net["vocabulary"]].index("BOS")
        self.n_layers = sum(name.endswith("query.w") for name in net)
        nodes = [f"{kind}{i}" for i in range(self.n_layers) for kind in "hm"]
        self.levels = {
            "tok": 0,
            "bos": 0,
            "pos": 0,
            **{node: i + 1 for i, node in enumerate(nodes)},
            "out": 1 + len(nodes),
        }
        self.senders = tuple(node for node in self.levels if node != "out")
        self.edges = tuple(
            Edge(sender, receiver, channel)
            for receiver, level in self.levels.items()
            for channel in self._channels(receiver)
            for sender in self.senders
            if self.levels[sender] < level
        )

    def __call__(
        self,
        inputs: Tensor,
        replaced: Tensor | None = None,
        messages: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run, with the messages of some edges replaced; see `xaibench.functions.circuits.transformer.Transformer`.

        Parameters
        ----------
        inputs : Tensor (N, L) of int64
            Ids that begin with BOS.
        replaced : Tensor (E,), optional
        messages : Tensor (N or 1, S, L, D), optional
        offsets : Tensor (E, N, L, D), optional

        Returns
        -------
        output : Tensor (N, L - 1, C)
            In the places of the text, without BOS.
        messages : Tensor (N, S, L, D)
        """
        embedded, first = self.net["token"][inputs], (inputs == self.bos).unsqueeze(2)
        positions = self.net["position"][: inputs.shape[1]].expand(len(inputs), -1, -1)
        sent = [embedded.masked_fill(first, 0.0), embedded.masked_fill(~first, 0.0), positions]
        kept = torch.ones(len(self.edges), dtype=torch.float64) if replaced is None else 1 - replaced
        instead = None if replaced is None or messages is None else messages.transpose(0, 1)
        start = 0
        for name in self.levels:
            channels, below = self._channels(name), sum(self.levels[s] < self.levels[name] for s in self.senders)
            if not channels:
                continue
            edges = slice(start, start + len(channels) * below)
            start = edges.stop
            shares = kept[edges].view(len(channels), below)
            read = torch.tensordot(shares, torch.stack(sent[:below]), dims=1)
            if instead is not None:
                read = read + torch.tensordot(1 - shares, instead[:below], dims=1)
            if offsets is not None:
                read = read + offsets[edges].view(len(channels), below, *offsets.shape[1:]).sum(dim=1)
            if name == "out":
                return read[0][:, 1:, self.output], torch.stack(sent, dim=1)
            sent.append(self._head(name, *read) if name[0] == "h" else self._perceptron(name, read[0]))
        raise AssertionError("the output is the last node")

    @property
    def reads(self) -> dict[str, Tensor]:
        """What each input of a node takes out of the residual stream, (D, h) each, by `Edge.input`."""
        found: dict[str, Tensor] = {}
        for i in range(self.n_layers):
            parts = {"q": "query", "k": "key", "v": "value"}
            found |= {f"h{i}.{channel}": self.net[f"layer{i}.{part}.w"] for channel, part in parts.items()}
            found[f"m{i}"] = self.net[f"layer{i}.in.w"]
        width = self.net["token"].shape[1]
        return {**found, "out": torch.eye(width, dtype=torch.float64)[:, self.output]}

    @property
    def writes(self) -> dict[str, Tensor]:
        """What every sender can write, (rows, D) each."""
        words = [i for i in range(len(self.net["token"])) if i != self.bos]
        token = self.net["token"]
        found = {"tok": token[words], "bos": token[[self.bos]], "pos": self.net["position"]}
        for i in range(self.n_layers):
            for node, part in (("h", "output"), ("m", "out")):
                found[f"{node}{i}"] = torch.cat([self.net[f"layer{i}.{part}.w"], self.net[f"layer{i}.{part}.b"][None]])
        return found

    def wiring(self) -> Tensor:
        """Which edges (E,) are wired: the sender writes what the receiver reads, on a path to the output.

        The dimension in which every token writes a 1 counts like any other: heads and MLPs take their constants from
        it. A wired edge may still be idle, see `xaibench.functions.circuits.tracr`.
        """
        reads, writes = self.reads, self.writes

        def meets(edge: Edge) -> bool:
            written = (writes[edge.sender] != 0).any(dim=0)
            wanted = (reads[edge.input] != 0).any(dim=1)
            return bool((written & wanted).any())

        wired, used = set(), {"out"}
        for edge in sorted(self.edges, key=lambda e: -self.levels[e.receiver]):
            if edge.receiver in used and meets(edge):
                wired.add(edge)
                used.add(edge.sender)
        return torch.tensor([edge in wired for edge in self.edges])

    def _channels(self, node: str) -> tuple[str, ...]:
        if self.levels[node] == 0:
            return ()
        return ("q", "k", "v") if node[0] == "h" else ("",)

    def _head(self, name: str, *read: Tensor) -> Tensor:
        query, key, value = (
            self._linear(name, part, x) for part, x in zip(("query", "key", "value"), read, strict=True)
        )
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        return self._linear(name, "output", weights @ value)

    def _perceptron(self, name: str, read: Tensor) -> Tensor:
        return self._linear(name, "out", self._linear(name, "in", read).relu())

    def _linear(self, name: str, part: str, read: Tensor) -> Tensor:
        found: Tensor = read @ self.net[f"layer{name[1:]}.{part}.w"] + self.net[f"layer{name[1:]}.{part}.b"]
        return found
