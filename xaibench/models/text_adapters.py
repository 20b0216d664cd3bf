"""Adapters from modules, estimators and callables over token ids to a predictor of texts."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError, XaibenchError
from xaibench.core.predictor import CallablePredictor, Predictor, TorchPredictor, hooked
from xaibench.core.token_networks import logits_of
from xaibench.core.token_predictor import TokenIdPredictor, TokenPredictor
from xaibench.core.tokens import NO_TOKEN, Tokens
from xaibench.models.adapters import as_predictor

SAME = 1e-4
"""Outputs that differ by at most this share of the largest are the same but for rounding."""


def as_text_predictor(
    model: Any,
    ids: Tensor,
    tokens: Tokens | None = None,
    *,
    embedding: nn.Embedding | Tensor | str | None = None,
    returns: str | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
) -> Predictor:
    """Wrap a model of token ids.

    A module that looks its ids up in one `torch.nn.Embedding`, and uses them for nothing else that is seen in its
    outputs, is differentiated in embeddings. Any other model is a black box over ids.

    Parameters
    ----------
    model : torch.nn.Module, fitted scikit-learn estimator, callable or Predictor
        Takes ids (N, L) of int64.
    ids : Tensor (N, L) or (N, W, P) of int
        Texts to try it with, -1 behind the end.
    tokens : Tokens, optional
    embedding : torch.nn.Embedding, Tensor (V, D) or str, optional
        The module's own embedding, or its name. Another embedding, or a table, is put in front of a module that
        takes embeddings (N, L, D) and a mask (N, L).
    returns, device, batch_size
        As for `as_predictor`.

    Raises
    ------
    UsageError
        If the embedding is not one, or replacing what it gives does not give the model's own outputs.
    """
    if isinstance(model, Predictor) and model.encodes_ids:
        return model
    found = _text_predictor(
        model, ids, tokens, embedding=embedding, returns=returns, device=device, batch_size=batch_size
    )
    found.returns_assumed = returns is None and not isinstance(model, Predictor)
    return found


def _text_predictor(
    model: Any,
    ids: Tensor,
    tokens: Tokens | None,
    *,
    embedding: nn.Embedding | Tensor | str | None,
    returns: str | None,
    device: torch.device | str,
    batch_size: int | None,
) -> Predictor:
    """See `as_text_predictor`."""
    base = as_predictor(model, returns=returns, device=device, batch_size=batch_size)
    known = tokens or Tokens()
    if not isinstance(base, TorchPredictor):
        if embedding is not None:
            raise UsageError("embedding= goes with a torch module", "leave it out: a black box has no gradients")
        assert isinstance(base, CallablePredictor)
        return TokenIdPredictor(base.function, known, base.returns, batch_size=batch_size)
    module = base.module
    options: dict[str, Any] = {"device": base.device, "batch_size": batch_size}
    name = embedding
    if isinstance(embedding, nn.Module):
        # The predictor may have copied the module: find the embedding in the one that was given.
        original = model if isinstance(model, nn.Module) else module
        name = next((n for n, part in original.named_modules() if part is embedding), embedding)
    if name is not None and not isinstance(name, str):
        return TokenPredictor(module, name, known, base.returns, **options)
    texts = _samples(ids)
    if isinstance(name, str):
        if not isinstance(dict(module.named_modules()).get(name), nn.Embedding):
            raise UsageError(
                f"the model has no embedding {name!r}", f"known: {', '.join(_embeddings(module)) or 'none'}"
            )
        found = TokenPredictor(module, name, known, base.returns, **options)
        reason = _differs(found, module, texts)
        if reason:
            raise UsageError(f"with embedding {name!r} {reason}", "leave it out: removal explainers need none")
        return found
    name, reason = _embedding_of(module, texts, base.device)
    if name is not None:
        found = TokenPredictor(module, name, known, base.returns, **options)
        reason = _differs(found, module, texts)
        if not reason:
            return found
    return TokenIdPredictor(module, known, base.returns, why_no_gradients=reason, **options)


def _samples(ids: Tensor) -> list[Tensor]:
    """A few different texts without what is behind their end, as sequences (1, m)."""
    rows = [row[row != NO_TOKEN].unsqueeze(0).long() for row in ids.flatten(1)]
    return sorted(rows, key=lambda row: -row.shape[1])[:2] + rows[:2]


def _embeddings(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if isinstance(part, nn.Embedding)]


def _embedding_of(module: nn.Module, texts: list[Tensor], device: torch.device) -> tuple[str | None, str]:
    """Name of the embedding that the ids are looked up in, or why there is none."""
    candidates = set(_embeddings(module))
    for text in texts:
        seen: set[str] = set()
        hooks = [
            module.get_submodule(name).register_forward_pre_hook(partial(_note, name, text, seen))
            for name in candidates
        ]
        with hooked(hooks), torch.no_grad():
            module(text.to(device))
        candidates &= seen
    if len(candidates) == 1:
        return candidates.pop(), ""
    if not candidates:
        return None, "the model looks its token ids up in no torch.nn.Embedding"
    return None, f"the model looks its token ids up in several embeddings ({', '.join(sorted(candidates))})"


def _note(name: str, text: Tensor, seen: set[str], _module: nn.Module, args: Any) -> None:
    if args and isinstance(args[0], Tensor) and torch.equal(args[0].cpu(), text):
        seen.add(name)


def _differs(predictor: TokenPredictor, module: nn.Module, texts: list[Tensor]) -> str:
    """Why replacing the embedding's output is not the same as other ids, or "" where it is.

    Tried with each text's tokens in reverse order and with tokens of other texts, and with every symbol in one place.
    """
    pool = torch.unique(torch.cat([text[0] for text in texts]))
    symbols = sorted(set(predictor.tokens.symbols.values()))
    ordinary = pool[~torch.isin(pool, torch.tensor(symbols, dtype=torch.long))]
    for text in texts:
        others = [text.flip(1)]
        if len(ordinary):
            others.append(ordinary[torch.arange(text.shape[1]).flip(0) % len(ordinary)].unsqueeze(0))
        for symbol in symbols:
            others.append(text.clone())
            others[-1][0, text.shape[1] // 2] = symbol
        for other in others:
            try:
                with torch.no_grad():
                    own = logits_of(module(other.to(predictor.device)))
                    vectors = predictor.table[other.to(predictor.table.device)].to(predictor.device)
                    found = predictor.network.without_surroundings(vectors, text.to(predictor.device))
            except XaibenchError as error:
                return error.message
            if not torch.allclose(found, own, rtol=SAME, atol=SAME * max(float(own.abs().max()), 1e-6)):
                return "the model's outputs hang on its token ids in other ways than through the embedding"
    return ""


def predictor_for(
    model: Any,
    data: Data,
    *,
    returns: str | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
) -> Predictor:
    """Wrap a model of a data set: as a predictor of texts where the inputs are token ids; see `as_predictor`."""
    if not data.has_ids:
        return as_predictor(model, returns=returns, device=device, batch_size=batch_size)
    ids = torch.from_numpy(data.test_inputs)
    return as_text_predictor(model, ids, data.tokens, returns=returns, device=device, batch_size=batch_size)
