"""The computation graph of a transformer: nodes, and an edge from every earlier node to every input of a node."""

from __future__ import annotations

from typing import NamedTuple

LEVELS: dict[str, int] = {"tok": 0, "pos": 0, "h00": 1, "h01": 1, "m0": 2, "h10": 3, "h11": 3, "m1": 4, "out": 5}
"""Depth of every node: token and position embeddings, two layers of two heads and an MLP, the output."""
HEADS = ("h00", "h01", "h10", "h11")
MLPS = ("m0", "m1")
SENDERS = tuple(node for node in LEVELS if node != "out")
"""Nodes that write a message, in the order of messages."""


class Edge(NamedTuple):
    """What one node reads from another through one of its inputs.

    Attributes
    ----------
    sender, receiver : str
    channel : str
        ``q``, ``k`` or ``v`` of a head; empty for MLPs and the output, which have one input.
    """

    sender: str
    receiver: str
    channel: str = ""

    @property
    def input(self) -> str:
        """Name of the input that the edge leads to."""
        return self.receiver + (f".{self.channel}" if self.channel else "")

    def __str__(self) -> str:
        return f"{self.sender}-{self.input}"


def channels(node: str) -> tuple[str, ...]:
    """Inputs of a node: queries, keys and values of a head, one of an MLP or the output, none of an embedding."""
    if LEVELS[node] == 0:
        return ()
    return ("q", "k", "v") if node in HEADS else ("",)


EDGES: tuple[Edge, ...] = tuple(
    Edge(sender, receiver, channel)
    for receiver in LEVELS
    for channel in channels(receiver)
    for sender in SENDERS
    if LEVELS[sender] < LEVELS[receiver]
)
"""All 61 edges, those into earlier nodes first."""
