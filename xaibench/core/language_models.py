"""Masked language models: how probable the words of a vocabulary are in the place of a word of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.tokens import Tokens

Pieces = Sequence[Sequence[int]]
"""The features of a text, each with the ids of its pieces."""


class MaskedLanguageModel:
    """Probabilities of the tokens of a vocabulary in the place of each word of a text.

    Parameters
    ----------
    model : torch.nn.Module or callable
        A module maps ids (B, m) to logits (B, m, V), alone or as ``logits`` of what it returns. A function is given
        ids (B, m) and places (B,), and returns log probabilities (B, V), which need not be normalised.
    tokens : Tokens
        With the symbol ``mask``; symbols and what stands around a text have no probability.
    device : torch.device or str
    """

    def __init__(self, model: Any, tokens: Tokens, *, device: torch.device | str = "cpu") -> None:
        if not callable(model):
            raise UsageError(f"a {type(model).__name__} is not a language model", "give a module or a function")
        self.model, self.tokens, self.device = model, tokens, torch.device(device)
        if isinstance(model, nn.Module) and model.training:
            raise UsageError("the language model is in training mode", "call mlm.eval()")

    def probabilities(self, features: Pieces) -> Tensor:
        """Probabilities (n, V) of the tokens in the place of each feature, given the text without it.

        A word of several pieces is replaced by one hidden token.

        Raises
        ------
        UnsupportedError
            If there is no symbol for a hidden token.
        UsageError
            If the model does not give a number for every token.
        """
        if self.tokens.mask is None:
            raise UnsupportedError("a masked language model needs the symbol 'mask', and none is known")
        rows, places = [], []
        for j in range(len(features)):
            before = [*self.tokens.prefix, *(i for pieces in features[:j] for i in pieces)]
            after = [*(i for pieces in features[j + 1 :] for i in pieces), *self.tokens.suffix]
            rows.append([*before, self.tokens.mask, *after])
            places.append(len(before))
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        for length in sorted({len(row) for row in rows}):
            chosen = [j for j, row in enumerate(rows) if len(row) == length]
            ids = torch.tensor([rows[j] for j in chosen], device=self.device)
            at = torch.tensor([places[j] for j in chosen], device=self.device)
            for j, row in zip(chosen, self._ask(ids, at), strict=True):
                found[j] = row
        return self._ordinary(torch.stack(found).double().softmax(dim=1))

    def _ask(self, ids: Tensor, places: Tensor) -> Tensor:
        """Log probabilities (B, V), which need not be normalised."""
        with torch.no_grad():
            if isinstance(self.model, nn.Module):
                raw = self.model(ids)
                if isinstance(raw, Mapping) or hasattr(raw, "logits"):
                    raw = raw["logits"] if isinstance(raw, Mapping) else raw.logits
                logits = raw[0] if isinstance(raw, tuple | list) else raw
                logits = logits[torch.arange(len(ids)), places] if isinstance(logits, Tensor) else logits
            else:
                logits = torch.as_tensor(self.model(ids, places))
        size = self.tokens.size
        if not isinstance(logits, Tensor) or logits.ndim != 2 or (size is not None and logits.shape[1] != size):
            raise UsageError(
                f"the language model does not give a number for each of {size} tokens",
                "give one with the same tokenizer: logits (B, m, V) of ids (B, m)",
            )
        return logits.cpu()

    def _ordinary(self, probabilities: Tensor) -> Tensor:
        """The probabilities without those of symbols and of what stands around a text."""
        special = sorted({*self.tokens.symbols.values(), *self.tokens.prefix, *self.tokens.suffix})
        found = probabilities.clone()
        found[:, special] = 0
        return found / found.sum(dim=1, keepdim=True)


def pieces_of(ids: Tensor, live: Tensor | None) -> list[list[int]]:
    """Ids of the pieces of the features of one text, from ids (n,) or (n, P) and which of them exist."""
    rows = ids.unsqueeze(1) if ids.ndim == 1 else ids
    exists = torch.ones_like(rows, dtype=torch.bool) if live is None else live.view(rows.shape)
    return [row[own].tolist() for row, own in zip(rows.cpu(), exists.cpu(), strict=True)]
