"""Adapters from modules, estimators and callables over token ids to a predictor of texts."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.context import Context, context_rows
from xaibench.core.data import Data
from xaibench.core.errors import UsageError, XaibenchError
from xaibench.core.module_copies import is_compiled
from xaibench.core.predictor import CallablePredictor, Predictor, TorchPredictor, hooked
from xaibench.core.token_networks import logits_of
from xaibench.core.token_predictor import TokenIdPredictor, TokenPredictor
from xaibench.core.tokens import NO_TOKEN, Tokens
from xaibench.models.adapted_modules import cast_context, number_type
from xaibench.models.adapters import as_predictor

SAME_OUTPUTS = 1e-4
"""Outputs that differ by at most this share of the largest are the same but for rounding."""

TRIED_TOKENS = 16
"""Tokens that are tried in all places of a text."""

_Text = tuple[Tensor, dict[str, Tensor]]
"""One text (1, m), and what the model is given beside it."""


def as_text_predictor(
    model: Any,
    ids: Tensor,
    tokens: Tokens | None = None,
    *,
    context: Context | None = None,
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
    context : mapping of str to Tensor (N, ...), optional
        What else the model is given with each of these texts.
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
        model,
        ids,
        tokens,
        context=context,
        embedding=embedding,
        returns=returns,
        device=device,
        batch_size=batch_size,
    )
    found.returns_assumed = returns is None and not isinstance(model, Predictor)
    return found


def _text_predictor(
    model: Any,
    ids: Tensor,
    tokens: Tokens | None,
    *,
    context: Context | None,
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
    texts = _samples(ids, known, cast_context(base.on_device(context), number_type(module)))
    _check_range(module, ids)
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


def _samples(ids: Tensor, tokens: Tokens, context: Context) -> list[_Text]:
    """A few different texts with what stands around them, as sequences (1, m), each with its context."""
    before, after = (torch.tensor(part, dtype=torch.long) for part in (tokens.prefix, tokens.suffix))
    rows = [
        (
            torch.cat([before, row[row != NO_TOKEN].long().cpu(), after]).unsqueeze(0),
            context_rows(context, slice(i, i + 1)),
        )
        for i, row in enumerate(ids.flatten(1))
    ]
    return sorted(rows, key=lambda row: -row[0].shape[1])[:2] + rows[:2]


def _check_range(module: nn.Module, ids: Tensor) -> None:
    """Raise UsageError where no embedding of the module has a row for every id."""
    sizes = [part.num_embeddings for part in module.modules() if isinstance(part, nn.Embedding)]
    if sizes and int(ids.max()) >= max(sizes):
        raise UsageError(
            f"inputs hold the id {int(ids.max())}, which is not in the vocabulary",
            f"the model's embedding has ids from 0 to {max(sizes) - 1}",
        )


def _embeddings(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if isinstance(part, nn.Embedding)]


def _embedding_of(module: nn.Module, texts: list[_Text], device: torch.device) -> tuple[str | None, str]:
    """Name of the embedding that the ids are looked up in, or why there is none."""
    if is_compiled(module):
        return None, "the model is compiled (TorchScript): its embedding cannot be replaced"
    candidates = set(_embeddings(module))
    for text, beside in texts:
        seen: set[str] = set()
        hooks = [
            module.get_submodule(name).register_forward_pre_hook(partial(_note, name, text, seen))
            for name in candidates
        ]
        try:
            with hooked(hooks), torch.no_grad():
                module(text.to(device), **beside)
        except Exception:  # The first look says why the model does not take the texts.
            return None, "the model fails on these texts"
        candidates &= seen
    if len(candidates) == 1:
        return candidates.pop(), ""
    if not candidates:
        return None, "the model looks its token ids up in no torch.nn.Embedding"
    return None, f"the model looks its token ids up in several embeddings ({', '.join(sorted(candidates))})"


def _note(name: str, text: Tensor, seen: set[str], _module: nn.Module, args: Any) -> None:
    if args and isinstance(args[0], Tensor) and torch.equal(args[0].cpu(), text):
        seen.add(name)


def _differs(predictor: TokenPredictor, module: nn.Module, texts: list[_Text]) -> str:
    """Why replacing the embedding's output is not the same as other ids, or "" where it is.

    Tried with each text backwards, with one token of the texts in all places, and with every symbol in one place.
    """
    symbols = torch.tensor(sorted(set(predictor.tokens.symbols.values())), dtype=torch.long)
    found = torch.unique(torch.cat([text[0] for text, _ in texts]))
    ordinary = found[~torch.isin(found, symbols)][:TRIED_TOKENS]
    for text, beside in texts:
        marked = text.repeat(len(symbols), 1)
        marked[:, text.shape[1] // 2] = symbols
        others = torch.cat([text.flip(1), ordinary.unsqueeze(1).expand(-1, text.shape[1]), marked])
        same = {name: values.expand(len(others), *values.shape[1:]) for name, values in beside.items()}
        own_ids = text.expand_as(others).to(predictor.device)
        try:
            with torch.no_grad():
                own = logits_of(module(others.to(predictor.device), **same))
                vectors = predictor.table[others.to(predictor.table.device)].to(predictor.device)
                replaced = predictor.network.without_surroundings(vectors, own_ids, same)
        except XaibenchError as error:
            return error.message
        except Exception as error:  # Whatever a module raises.
            return f"the model fails: {type(error).__name__}: {error}".partition("\n")[0]
        if not torch.allclose(replaced, own, rtol=SAME_OUTPUTS, atol=SAME_OUTPUTS * max(float(own.abs().max()), 1e-6)):
            return "the model's outputs depend on its token ids in other ways than through the embedding"
    return ""


def predictor_for(
    model: Any,
    data: Data,
    *,
    returns: str | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
) -> Predictor:
    """Wrap a model of a data set: as a predictor of texts where the inputs are token ids."""
    if not data.has_ids:
        codec = None if isinstance(model, torch.nn.Module) else data.frame_codec
        return as_predictor(model, returns=returns, device=device, batch_size=batch_size, codec=codec)
    ids = torch.from_numpy(data.test_inputs)
    context = {name: torch.from_numpy(values) for name, values in data.test_context.items()}
    return as_text_predictor(
        model, ids, data.tokens, context=context, returns=returns, device=device, batch_size=batch_size
    )
