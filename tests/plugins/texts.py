"""Bags of words, as models over ids and over embeddings, and a table whose model takes a second input."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import xaibench as xb

WEIGHTS = np.array([0.0, 0, 2, -1, 1.5, -2, 0.5, -0.5], dtype=np.float32)
TOKENS = xb.Tokens(["[PAD]", "[MASK]", *"abcdef"], pad=0, mask=1)


@xb.dataset("bags", features="tokens", provides={"truth.mask"})
def bags(*, seed: int = 0, n: int = 40, width: int = 9) -> xb.Data:
    """Texts of 3 to 9 words; the class is the sign of the sum of the words' weights, and two words decide."""
    rng = np.random.default_rng(seed)
    ids = np.full((3 * n, width), -1, dtype=np.int32)
    for row in ids:
        size = rng.integers(3, width + 1)
        row[:size] = rng.integers(2, 8, size=size)
    classes = (np.where(ids >= 0, WEIGHTS[ids], 0).sum(axis=1) > 0).astype(np.int64)
    mask = ids[:n] >= 6
    return xb.Data(
        "tokens", ids[n:], classes[n:], ids[:n], classes[:n], class_names=("low", "high"), tokens=TOKENS,
        test_mask=mask, truth_kind="data", accuracy_floor=0.9,
    )  # fmt: skip


class Bag(nn.Module):
    """Sums the embeddings of ids."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(8, 1)
        with torch.no_grad():
            self.words.weight.copy_(torch.from_numpy(WEIGHTS)[:, None])

    def forward(self, ids: Tensor) -> Tensor:
        total = self.words(ids).sum(dim=1)
        return torch.cat([-total / 2, total / 2], dim=1)


@xb.model("bag", provides={"gradients", "module"})
def bag(data: xb.Data) -> nn.Module:
    """A module over ids: differentiated in its embedding."""
    return Bag()


@xb.model("bag_box")
def bag_box(data: xb.Data):
    """A callable over ids."""

    def predict(ids: np.ndarray) -> np.ndarray:
        total = WEIGHTS[ids].sum(axis=1)
        high = 1 / (1 + np.exp(-total))
        return np.stack([1 - high, high], axis=1)

    return predict


@xb.dataset("switched_rows", features="table")
def switched_rows(*, seed: int = 0, n: int = 40) -> xb.Data:
    """Four columns, the signs of which a second input says."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3 * n, 4)).astype(np.float32)
    sign = np.where(rng.random((3 * n, 4)) < 0.5, -1, 1).astype(np.float32)
    y = ((x * sign) @ np.arange(1, 5) > 0).astype(np.int64)
    return xb.Data(
        "table", x[n:], y[n:], x[:n], y[:n], accuracy_floor=0.95,
        train_context={"sign": sign[n:]}, test_context={"sign": sign[:n]},
    )  # fmt: skip


class Signed(nn.Module):
    """The model behind `switched_rows`."""

    def forward(self, x: Tensor, sign: Tensor) -> Tensor:
        total = ((x * sign) @ torch.arange(1.0, 5.0).to(x)).unsqueeze(1)
        return torch.cat([-total, total], dim=1)


@xb.model("signed")
def signed(data: xb.Data) -> nn.Module:
    """Takes two inputs."""
    return Signed()
