"""Networks of graphs: a sum over walks, whose Shapley values are known, and one layer of graph convolution."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.models.training import Progress, train


def send(h: Tensor, w: Tensor, src: Tensor, dst: Tensor) -> Tensor:
    """What arrives at every node (N, n, F): the sum, over its incoming edges, of weight times the source's features.

    Parameters
    ----------
    h : Tensor (N, n, F)
    w : Tensor (N, E)
        0 where there is no edge.
    src, dst : Tensor (N, E) of int64
    """
    index = dst.unsqueeze(2).expand(-1, -1, h.shape[2])
    messages = h.gather(1, src.unsqueeze(2).expand_as(index)) * w.unsqueeze(2)
    return torch.zeros_like(h).scatter_add(1, index, messages)


@model("walk_sum", provides={"gradients", "module", "truth.contributions"}, features={"edges"})
def walk_sum(data: Data, *, steps: PositiveInt = 3) -> nn.Module:
    """The linear graph network of the data set `linear_gnn`: ``(A(w)^steps x)`` at the target node, nothing trained."""
    return WalkSum(steps)


class WalkSum(nn.Module):
    """Value (N, 1): the sum over walks of ``steps`` undirected edges from the target, of weights times the last number.

    A simplified graph convolution (Wu et al. 2019) without normalisation. A walk that uses k different edges is lost
    with the first of them, so its value is shared equally by the k in Shapley values, and by how often each is used in
    integrated gradients.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def extra_repr(self) -> str:
        return f"steps={self.steps}"

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, target: Tensor, nodes: Tensor) -> Tensor:
        h, weights = x.double(), w.double()
        for _ in range(self.steps):
            h = send(h, weights, src, dst) + send(h, weights, dst, src)
        return h.gather(1, target.view(-1, 1, 1)).squeeze(2).to(w.dtype)

    def contributions(
        self, inputs: Tensor, targets: Tensor, src: Tensor, dst: Tensor, x: Tensor, target: Tensor, nodes: Tensor
    ) -> Tensor:
        """Shapley values of the edges (N, E), float64, by enumerating the walks."""
        rows = zip(inputs, src, dst, x.double(), target, strict=True)
        return torch.stack([walk_shares(w, a, b, u[:, 0], int(t), self.steps) for w, a, b, u, t in rows])


def walk_shares(w: Tensor, src: Tensor, dst: Tensor, x: Tensor, target: int, steps: int) -> Tensor:
    """Shapley values (E,) of edges in the sum over walks from the target: ``x`` at the end / number of different edges.

    Parameters
    ----------
    w, src, dst : Tensor (E,)
    x : Tensor (n,), float64
    target : int
    steps : int
    """
    leaving, reached = torch.cat([src, dst]), torch.cat([dst, src])
    edge = torch.arange(len(src), device=src.device).repeat(2)
    used = edge[leaving == target].unsqueeze(1)
    ends = reached[leaving == target]
    for _ in range(steps - 1):
        walk, onward = (ends.unsqueeze(1) == leaving).nonzero(as_tuple=True)
        used, ends = torch.cat([used[walk], edge[onward].unsqueeze(1)], dim=1), reached[onward]
    times = (used.unsqueeze(2) == used.unsqueeze(1)).sum(dim=2).double()
    different = (1 / times).sum(dim=1, keepdim=True)
    value = (x[ends] * w.double()[used].prod(dim=1)).unsqueeze(1)
    shares = torch.zeros(len(src), dtype=torch.float64, device=src.device)
    return shares.index_add(0, used.flatten(), (value / different / times).flatten())


@model("one_layer_gnn", provides={"gradients", "module"}, features={"edges"})
def one_layer_gnn(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 32,
    epochs: PositiveInt = 60,
    batch_size: PositiveInt = 256,
    progress: Progress | None = None,
) -> nn.Module:
    """One graph convolution (own features and the sum of the neighbours', Morris et al. 2019), read at the target node.

    The hidden features of the target are concatenated with its input before a linear layer.
    """
    n_features = data.train_context["x"].shape[2]

    def build() -> nn.Module:
        return OneLayer(n_features, width, data.n_outputs)

    return train(build, data, seed=seed, epochs=epochs, learning_rate=0.03, batch_size=batch_size, progress=progress)


class OneLayer(nn.Module):
    """See `one_layer_gnn`."""

    def __init__(self, n_features: int, width: int, n_outputs: int) -> None:
        super().__init__()
        self.own = nn.Linear(n_features, width)
        self.neighbours = nn.Linear(n_features, width, bias=False)
        self.act = nn.ReLU()
        self.head = nn.Linear(n_features + width, n_outputs)

    def forward(self, w: Tensor, src: Tensor, dst: Tensor, x: Tensor, target: Tensor, nodes: Tensor) -> Tensor:
        at = target.view(-1, 1, 1).expand(-1, 1, x.shape[2])
        mine, theirs = (rows.gather(1, at).squeeze(1) for rows in (x, send(x, w, src, dst)))
        hidden = self.act(self.own(mine) + self.neighbours(theirs))
        found: Tensor = self.head(torch.cat([mine, hidden], dim=1))
        return found
