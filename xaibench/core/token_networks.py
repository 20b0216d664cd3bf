"""Text models over embeddings: padding is removed, and texts of equal length are evaluated together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from xaibench.core.errors import UnsupportedError, UsageError
from xaibench.core.model_outputs import as_matrix, read_output
from xaibench.core.predictor import hooked
from xaibench.core.tokens import Tokens

CallWithMask = Callable[[nn.Module, Tensor, Tensor], Any]
"""Calls a module with embeddings (B, m, D) and a mask (B, m) of ones; gives logits."""


class TokenNetwork(nn.Module):
    """A network over the embeddings of features, around one over sequences.

    A piece is there if it is live and its numbers are not NaN. Pieces that are there close up, from left to right,
    the prefix and the suffix are put around them, and rows of equal length go to the inner module together,
    without any padding: a row is what it is alone.

    Parameters
    ----------
    inner : torch.nn.Module
    call : callable, optional
        ``call(inner, embeddings, mask) -> logits``; by default ``inner(embeddings, mask)``.
    embedding : str, optional
        Name of the embedding inside ``inner``, where that takes ids: it is called with ids, and what the embedding
        makes of them is replaced.
    symbols : mapping of int to Tensor (D,)
        Embeddings of symbols by id: a piece with these numbers has this id.
    prefix, suffix : tuple of (int, Tensor (D,))
        Ids and embeddings around every sequence.
    empty : (int, Tensor (D,)), optional
        What stands for a text of which nothing is left.
    """

    def __init__(
        self,
        inner: nn.Module,
        *,
        call: CallWithMask | None = None,
        embedding: str | None = None,
        symbols: Mapping[int, Tensor] | None = None,
        prefix: tuple[tuple[int, Tensor], ...] = (),
        suffix: tuple[tuple[int, Tensor], ...] = (),
        empty: tuple[int, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.call = call
        self.embedding = embedding
        # Plain attributes, not buffers: what is in front of the model has no weights to randomise.
        self.symbols = dict(symbols or {})
        self.prefix, self.suffix, self.empty = prefix, suffix, empty

    def without_surroundings(self, pieces: Tensor, ids: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        """Raw outputs (B, C) of embeddings (B, m, D) in the place of those of ``ids`` (B, m), nothing around them."""
        return logits_of(self._called_with_ids(pieces, self._with_symbols(pieces, ids), context))

    def forward(
        self, inputs: Tensor, live: Tensor | None = None, ids: Tensor | None = None, **context: Tensor
    ) -> Tensor:
        """Raw outputs (B, C).

        Parameters
        ----------
        inputs : Tensor (B, n, D) or (B, n, P, D)
            Embeddings of tokens, or of the pieces of words; NaN where a feature was deleted.
        live : Tensor (B, n, P) of bool, optional
            Pieces that there are; by default all.
        ids : Tensor (B, n) or (B, n, P) of int64, optional
            Ids of the texts as they are, for inner modules that take ids.
        **context : Tensor (B, ...)
            Goes to the inner module by name.
        """
        pieces = inputs.flatten(1, -2)
        there = None if live is None or bool(live.all()) else live.flatten(1)
        own = None if ids is None else ids.flatten(1)
        # The sum of numbers without NaN may be NaN too, and is found several times faster.
        if bool(torch.isnan(pieces.detach().sum())):
            kept = ~torch.isnan(pieces.detach()).any(dim=2)
            if not bool(kept.all()):
                there = kept if there is None else there & kept
        if own is not None:
            own = self._with_symbols(pieces, own)
        if there is None:
            return self._run(pieces, own, context)
        return self._by_length(pieces, own, there, context)

    def _by_length(self, pieces: Tensor, ids: Tensor | None, there: Tensor, context: Mapping[str, Tensor]) -> Tensor:
        lengths = there.sum(dim=1)
        # What is not there is never computed with: NaN times 0 is NaN.
        present, starts = there.flatten().nonzero().squeeze(1), lengths.cumsum(0) - lengths
        flat, width = pieces.flatten(0, 1), pieces.shape[2]
        parts, rows = [], []
        for length in sorted(set(lengths.tolist())):
            chosen = (lengths == length).nonzero().squeeze(1)
            places = present[starts[chosen].unsqueeze(1) + torch.arange(length, device=starts.device)].flatten()
            # index_select copies rows many times faster than indexing and gather do.
            sequence = flat.index_select(0, places).view(len(chosen), length, width)
            own = None if ids is None else ids.flatten().index_select(0, places).view(len(chosen), length)
            beside = {name: values[chosen] for name, values in context.items()}
            parts.append(self._run(sequence, own, beside))
            rows.append(chosen)
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def _with_symbols(self, pieces: Tensor, ids: Tensor) -> Tensor:
        """The ids (B, m), symbols where a masker put one."""
        flat, first = pieces.detach().flatten(0, 1), pieces.detach()[..., 0].flatten()
        found = ids.flatten()
        for symbol, numbers in self.symbols.items():
            own = numbers.to(pieces)
            # Few pieces share their first number with a symbol: only those are compared as a whole.
            places = ((first == own[0]) & (found != symbol)).nonzero().squeeze(1)
            if not len(places):
                continue
            places = places[(flat.index_select(0, places) == own).all(dim=1)]
            found = found.index_fill(0, places, symbol)
        return found.view(ids.shape)

    def _run(self, pieces: Tensor, ids: Tensor | None, context: Mapping[str, Tensor]) -> Tensor:
        """Raw outputs of sequences of one length."""
        before, after = self.prefix, self.suffix
        if pieces.shape[1] + len(before) + len(after) == 0:
            if self.empty is None:
                raise UnsupportedError(
                    "nothing is left of a text of which every token is deleted",
                    "give the id of the empty token, Tokens(pad=...), which then stands for it, or another masker",
                )
            before = (self.empty,)
        if before or after:
            n = len(pieces)
            left, right = ([v.to(pieces).expand(n, 1, -1) for _, v in part] for part in (before, after))
            pieces = torch.cat([*left, pieces, *right], dim=1)
            if ids is not None:
                left, right = ([ids.new_full((n, 1), i) for i, _ in part] for part in (before, after))
                ids = torch.cat([*left, ids, *right], dim=1)
        if self.embedding is not None:
            assert ids is not None
            return logits_of(self._called_with_ids(pieces, ids, context))
        mask = torch.ones(pieces.shape[:2], dtype=torch.long, device=pieces.device)
        if self.call is not None:
            return logits_of(self.call(self.inner, pieces, mask))
        return logits_of(self.inner(pieces, mask, **context))

    def _called_with_ids(self, pieces: Tensor, ids: Tensor, context: Mapping[str, Tensor]) -> Any:
        assert self.embedding is not None

        def replaced(_module: nn.Module, _args: Any, found: Tensor) -> Tensor:
            if found.shape != pieces.shape:
                raise UnsupportedError("the model does not look up its token ids all at once, one embedding each")
            return pieces

        # First of all hooks: others see what takes part in the output.
        hook = self.inner.get_submodule(self.embedding).register_forward_hook(replaced, prepend=True)
        with hooked([hook]):
            return self.inner(ids, **context)


def logits_of(raw: Any) -> Tensor:
    """Logits (B, C) of what a text model returned: a tensor, or the ``logits`` of a dictionary or an output object."""
    found = raw
    if not isinstance(raw, Tensor):
        found = raw.get("logits") if isinstance(raw, Mapping) else getattr(raw, "logits", None)
        if found is None and isinstance(raw, tuple | list) and raw:
            found = raw[0]
    if not isinstance(found, Tensor):
        raise UsageError(
            f"the text model returned {type(raw).__name__} without logits",
            "call= says what to take: a function (module, embeddings, mask) -> logits",
        )
    return as_matrix(read_output(found))


def around(tokens: Tokens, look_up: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Embeddings of what stands around texts and for what is not there, for `TokenNetwork`."""

    def each(ids: tuple[int, ...]) -> tuple[tuple[int, Tensor], ...]:
        return tuple((i, look_up(torch.tensor([i]))[0]) for i in ids)

    return {
        "symbols": dict(each(tuple(tokens.symbols.values()))),
        "prefix": each(tuple(tokens.prefix)),
        "suffix": each(tuple(tokens.suffix)),
        "empty": None if tokens.pad is None else each((tokens.pad,))[0],
    }
