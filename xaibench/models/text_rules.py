"""Models of texts without training, for which every explanation has a closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.core.errors import UsageError


@model("text_rule", features={"tokens"})
def text_rule(data: Data) -> nn.Module:
    """The rule of the data set `text_rules`, exactly; the two logits are minus and plus half of its output.

    Raises
    ------
    UsageError
        If the data set has no such facts.
    """
    missing = [name for name in ("rule", "vectors") if name not in data.facts]
    if missing:
        raise UsageError(f"this model is made of facts that the data set does not know: {', '.join(missing)}")
    return TextRule(str(data.facts["rule"]), torch.from_numpy(np.asarray(data.facts["vectors"])))


class TextRule(nn.Module):
    """Logits (B, 2) of ids (B, m): minus and plus half of a sum, a mean, or an attention-weighted mean of scores.

    Parameters
    ----------
    rule : {"sum", "mean", "attention"}
    vectors : Tensor (V, 2)
        Key and value of every word.
    """

    def __init__(self, rule: str, vectors: Tensor) -> None:
        super().__init__()
        self.rule = rule
        self.words = nn.Embedding(len(vectors), vectors.shape[1], _weight=vectors)
        self.blocks = nn.ModuleList([ConstantQuery()] if rule == "attention" else [])

    def forward(self, ids: Tensor) -> Tensor:
        vectors = self.words(ids)
        for block in self.blocks:
            vectors = block(vectors)
        values = vectors[:, :, 1]
        output = values.sum(dim=1) if self.rule == "sum" else values.mean(dim=1)
        return torch.stack([-output / 2, output / 2], dim=1)


class ConstantQuery(nn.Module):
    """Attention of one head whose query is the same in every place: all places get the same mixture."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Keys and values (B, m, 2) to (B, m, 2), the keys as they were."""
        keys, values = hidden[:, None, :, :1], hidden[:, None, :, 1:]
        scores = torch.ones_like(keys) @ keys.transpose(-1, -2)
        weights = scores.softmax(dim=-1)
        return torch.cat([hidden[:, :, :1], (weights @ values)[:, 0]], dim=2)
