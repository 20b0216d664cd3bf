"""Models as people have them: dictionaries, tuples, codes, recurrent layers that mix samples and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Forward = Callable[["Around", Tensor], Any]


class Around(nn.Module):
    """A network with another forward pass around it, which is given the module itself and the inputs."""

    def __init__(self, net: nn.Module, written: Forward, **others: nn.Module) -> None:
        super().__init__()
        self.net, self.written = net, written
        for name, other in others.items():
            self.add_module(name, other)

    def forward(self, inputs: Tensor) -> Any:
        return self.written(self, inputs)


class Attributes:
    """An object with ``logits`` that is neither a mapping nor a tuple."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


class ModelOutput(dict):  # type: ignore[type-arg]
    """Like that of transformers: a dictionary whose entries are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class WithoutBatchFirst(nn.Module):
    """A recurrent classifier that takes samples for steps."""

    def __init__(self, layer: type[nn.RNNBase], width: int = 5, fold: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.recurrent, self.head, self.fold = layer(width, 7), nn.Linear(7, 3), fold
        self.width = width

    def forward(self, inputs: Tensor) -> Tensor:
        steps = inputs.view(len(inputs), -1, self.width) if self.fold else inputs
        out: Tensor = self.head(self.recurrent(steps)[0][-1])
        return out


class Tagger(nn.Module):
    """Says something about every step, all in one matrix (N * T, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(inputs).flatten(0, 1)
        return out


class Codes(nn.Module):
    """Reads whole numbers as rows of a table."""

    def __init__(self, rows: int = 50) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.head = nn.Embedding(rows, 8), nn.Linear(8, 3)

    def forward(self, codes: Tensor) -> Tensor:
        out: Tensor = self.head(self.table(codes).mean(1))
        return out


def small_net(columns: int = 3) -> nn.Sequential:
    """Six inputs, one hidden layer, in evaluation mode."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, columns)).eval()
