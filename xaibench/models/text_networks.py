"""Text models over token ids: a small transformer and an LSTM, with word vectors of length 1."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError
from xaibench.models.networks import Add
from xaibench.models.text_training import longest, train_texts
from xaibench.models.training import Progress

_DIFFERENTIABLE = {"gradients", "module"}
_POSITION_SPREAD = 0.1
"""Standard deviation of learned positions before training."""


@model("text_transformer", provides=_DIFFERENTIABLE | {"attention"}, features={"tokens"})
def text_transformer(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 32,
    heads: PositiveInt = 4,
    layers: PositiveInt = 2,
    epochs: PositiveInt = 20,
    unit_vectors: bool = True,
    progress: Progress | None = None,
) -> nn.Module:
    """Transformer encoder over words: pre-norm blocks, learned positions, one place read by a linear head.

    The place that is read is that of the first token before the text (``[CLS]``); without such a token, the mean over
    places. Word vectors have length 1: else trained words that decide are simply long vectors, and a placebo that
    looks at nothing but the table finds them.

    Parameters
    ----------
    data : Data
        Of token ids.
    seed : int
    width, heads, layers : int
    epochs : int
    unit_vectors : bool
    """
    tokens = data.tokens
    if tokens is None or tokens.size is None:
        raise UsageError("text_transformer needs to know the vocabulary", "give Data(tokens=Tokens(vocabulary=...))")
    if width % heads:
        raise UsageError(f"a width of {width} cannot be divided among {heads} heads")
    size, reads_first, length = tokens.size, bool(tokens.prefix), longest(data)

    def build() -> nn.Module:
        return TextTransformer(size, data.n_classes, length, width, heads, layers, unit_vectors, reads_first)

    return train_texts(build, data, seed=seed, epochs=epochs, learning_rate=3e-3, progress=progress)


@model("text_lstm", provides=_DIFFERENTIABLE, features={"tokens"})
def text_lstm(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 32,
    epochs: PositiveInt = 20,
    unit_vectors: bool = True,
    progress: Progress | None = None,
) -> nn.Module:
    """Bidirectional LSTM over words, the largest value of every unit over time, and a linear head.

    Parameters
    ----------
    data : Data
        Of token ids.
    seed : int
    width : int
        Of word vectors, and of the state in each direction.
    epochs : int
    unit_vectors : bool
        See `text_transformer`.
    """
    tokens = data.tokens
    if tokens is None or tokens.size is None:
        raise UsageError("text_lstm needs to know the vocabulary", "give Data(tokens=Tokens(vocabulary=...))")
    size = tokens.size

    def build() -> nn.Module:
        return TextLSTM(size, data.n_classes, width, unit_vectors)

    return train_texts(build, data, seed=seed, epochs=epochs, learning_rate=6e-3, progress=progress)


class UnitEmbedding(nn.Embedding):
    """An embedding whose vectors have length 1."""

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.normalize(super().forward(ids), dim=-1)


def word_vectors(size: int, width: int, unit_vectors: bool) -> nn.Embedding:
    """An embedding of ``size`` words, of length 1 or free."""
    return (UnitEmbedding if unit_vectors else nn.Embedding)(size, width)


class SelfAttention(nn.Module):
    """Multi-head self-attention, written out so that its weights are seen.

    Attributes
    ----------
    heads : int
    query, key, value, output : nn.Linear
    softmax : nn.Softmax
        Gives the weights (B, heads, m, m).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Mixed values (B, m, width)."""
        query, key, value = (self._by_head(part(hidden)) for part in (self.query, self.key, self.value))
        weights = self.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5)
        mixed: Tensor = self.output((weights @ value).transpose(1, 2).flatten(2))
        return mixed

    def _by_head(self, values: Tensor) -> Tensor:
        """(B, m, width) as (B, heads, m, width / heads)."""
        return values.view(*values.shape[:2], self.heads, -1).transpose(1, 2)


class TransformerBlock(nn.Module):
    """Pre-norm block: attention, then an MLP of twice the width with GELU, each added to what it read."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.add1 = Add()
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.add2 = Add()

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.add1(hidden, self.attention(self.norm1(hidden)))
        added: Tensor = self.add2(hidden, self.mlp(self.norm2(hidden)))
        return added


class TextTransformer(nn.Module):
    """Logits (B, C) of token ids (B, m); see `text_transformer`.

    Attributes
    ----------
    words : nn.Embedding
    positions : nn.Parameter (length, width)
    blocks : nn.ModuleList of TransformerBlock
    """

    def __init__(
        self,
        size: int,
        n_classes: int,
        length: int,
        width: int,
        heads: int,
        layers: int,
        unit_vectors: bool,
        reads_first: bool,
    ) -> None:
        super().__init__()
        self.words = word_vectors(size, width, unit_vectors)
        self.positions = nn.Parameter(_POSITION_SPREAD * torch.randn(length, width))
        self.add = Add()
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_classes)
        self.reads_first = reads_first

    def forward(self, ids: Tensor) -> Tensor:
        if ids.shape[1] > len(self.positions):
            raise UsageError(
                f"a text of {ids.shape[1]} tokens, and the model knows {len(self.positions)} positions",
                "shorten the text, or train the model on longer ones",
            )
        hidden = self.add(self.words(ids), self.positions[: ids.shape[1]])
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        logits: Tensor = self.head(hidden[:, 0] if self.reads_first else hidden.mean(dim=1))
        return logits


class TextLSTM(nn.Module):
    """Logits (B, C) of token ids (B, m); see `text_lstm`."""

    def __init__(self, size: int, n_classes: int, width: int, unit_vectors: bool) -> None:
        super().__init__()
        self.words = word_vectors(size, width, unit_vectors)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, n_classes)

    def forward(self, ids: Tensor) -> Tensor:
        # cuDNN has no backward pass of recurrent nets in evaluation mode.
        with torch.backends.cudnn.flags(enabled=self.training):
            states = self.lstm(self.words(ids))[0]
        logits: Tensor = self.head(states.amax(dim=1))
        return logits
