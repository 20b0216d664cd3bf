"""Small text models whose outputs depend on order, and texts of different lengths."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.token_predictor import TokenPredictor
from xaibench.core.tokens import Tokens

VOCABULARY, WIDTH = 40, 8
PAD, MASK, UNK, CLS, SEP = range(5)
TOKENS = Tokens(VOCABULARY, mask=MASK, pad=PAD, unk=UNK, prefix=(CLS,), suffix=(SEP,))
BARE = Tokens(VOCABULARY, mask=MASK, pad=PAD, unk=UNK)


class Transformer(nn.Module):
    """Two layers of attention with learned positions, over embeddings and a mask; logits of the first place."""

    def __init__(self, *, mean: bool = False, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.positions = nn.Parameter(0.3 * torch.randn(64, WIDTH))
        self.head = nn.Linear(WIDTH, 3)
        self.mean = mean
        self.eval()

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        hidden = embeddings + self.positions[: embeddings.shape[1]]
        hidden = self.layers(hidden, src_key_padding_mask=mask == 0)
        pooled = (hidden * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True) if self.mean else hidden[:, 0]
        found: Tensor = self.head(pooled)
        return found


class IdTransformer(nn.Module):
    """The same over token ids, which it looks up itself; padding is told by its ids."""

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self.inner = Transformer(mean=True, seed=seed)
        self.words = nn.Embedding.from_pretrained(table(), freeze=False)
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.inner(self.words(ids), (ids != PAD).long())
        return found


def table() -> Tensor:
    """Embeddings of the vocabulary."""
    return torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(1))


def texts(n: int = 12, *, seed: int = 0) -> list[list[int]]:
    """Texts of 3 to 14 ordinary tokens; several have the same length."""
    rng = np.random.default_rng(seed)
    sizes = [(3, 5, 14, 5, 7, 3, 9, 5, 12, 14, 4, 7)[i % 12] for i in range(n)]
    return [rng.integers(5, VOCABULARY, size=size).tolist() for size in sizes]


def words(n: int = 6, *, pieces: int = 3, seed: int = 0) -> np.ndarray:
    """Texts of 2 to 5 words of 1 to ``pieces`` pieces (n, W, P), -1 for what is not there."""
    rng = np.random.default_rng(seed)
    rows = np.full((n, 5, pieces), -1)
    for row in rows:
        for word in range(rng.integers(2, 6)):
            size = rng.integers(1, pieces + 1)
            row[word, :size] = rng.integers(5, VOCABULARY, size=size)
    return rows


def transformer(tokens: Tokens = TOKENS, *, batch_size: int | None = None) -> TokenPredictor:
    """The transformer behind its table."""
    return TokenPredictor(Transformer(), table(), tokens, batch_size=batch_size)
