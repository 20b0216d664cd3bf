"""Transformers that a compiler made of programs, as torch modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.core.types import Array
from xaibench.datasets.tracr_programs import read_tracr

_PARTS = ("query", "key", "value", "output", "in", "out")


@model("tracr_transformer", provides={"gradients", "module", "attention"}, features={"tokens"}, version=1)
def tracr_transformer(data: Data) -> nn.Module:
    """The compiled transformer of the data set `tracr`, read at the place that is asked about.

    The logits are the residual dimensions of the program's output there: 1 for the letter that it has, else 0. Texts
    come in as one-hot vectors, so that gradients are about tokens and not about what no token ever writes.

    Raises
    ------
    UsageError
        If the data are not those of a compiled program.
    """
    if "program" not in data.facts:
        raise UsageError("this model is a compiled program, and the data set names none", 'use the data set "tracr"')
    return TracrTransformer(read_tracr(str(data.facts["program"])))


class TracrTransformer(nn.Module):
    """A compiled transformer: attention and an MLP with ReLU in each layer, added to the stream; no norm, no mask.

    Parameters
    ----------
    net : mapping of str to array
        See `xaibench.datasets.tracr_programs.read_tracr`.
    """

    output: Tensor

    def __init__(self, net: dict[str, Array]) -> None:
        super().__init__()
        self.words = nn.Embedding(len(net["token"]), len(net["token"]), _weight=torch.eye(len(net["token"])))
        self.token = nn.Parameter(torch.from_numpy(net["token"]))
        self.position = nn.Parameter(torch.from_numpy(net["position"]))
        n_layers = sum(name.endswith("query.w") for name in net)
        layers = (
            {part: (net[f"layer{i}.{part}.w"], net[f"layer{i}.{part}.b"]) for part in _PARTS} for i in range(n_layers)
        )
        self.blocks = nn.ModuleList(CompiledBlock(layer, int(net["n_heads"])) for layer in layers)
        self.register_buffer("output", torch.from_numpy(net["output"]).long())

    def forward(self, ids: Tensor, place: Tensor) -> Tensor:
        """Logits (B, C) of ids (B, m) that begin with BOS, at a place (B,) counted without it."""
        stream = self.stream(ids)
        return stream[torch.arange(len(ids), device=ids.device), place + 1][:, self.output]

    def stream(self, ids: Tensor) -> Tensor:
        """The residual stream (B, m, D) behind the last layer."""
        if ids.shape[1] > len(self.position):
            raise UsageError(f"a text of {ids.shape[1] - 1} tokens, and the program takes {len(self.position) - 1}")
        stream: Tensor = self.words(ids) @ self.token + self.position[: ids.shape[1]]
        for block in self.blocks:
            stream = block(stream)
        return stream


class CompiledBlock(nn.Module):
    """Softmax attention and then an MLP, each added to what it read.

    Parameters
    ----------
    parts : mapping of str to (weights (in, out), biases (out,))
        query, key, value, output, in and out.
    n_heads : int
    """

    def __init__(self, parts: dict[str, tuple[Array, Array]], n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value, self.mix = (_linear(*parts[name]) for name in _PARTS[:4])
        self.mlp = nn.Sequential(_linear(*parts["in"]), nn.ReLU(), _linear(*parts["out"]))

    def forward(self, stream: Tensor) -> Tensor:
        query, key, value = (self._by_head(part(stream)) for part in (self.query, self.key, self.value))
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        stream = stream + self.mix((weights @ value).transpose(1, 2).flatten(2))
        added: Tensor = stream + self.mlp(stream)
        return added

    def _by_head(self, values: Tensor) -> Tensor:
        """(B, m, heads * k) as (B, heads, m, k)."""
        return values.view(*values.shape[:2], self.n_heads, -1).transpose(1, 2)


def _linear(weights: Array, biases: Array) -> nn.Linear:
    found = nn.Linear(*weights.shape)
    with torch.no_grad():
        found.weight.copy_(torch.from_numpy(weights).T)
        found.bias.copy_(torch.from_numpy(biases))
    return found
