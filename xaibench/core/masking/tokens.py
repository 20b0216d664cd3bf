"""Maskers of tokens: what stands in the place of a token, or of every piece of a word, that is removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xaibench.core.draws import Draws
from xaibench.core.errors import UnsupportedError
from xaibench.core.features import FeatureLayout
from xaibench.core.masking.names import TOKEN_MASKERS as TOKEN_MASKERS

_OF_TOKENS = (*TOKEN_MASKERS, "zero", "mean", "marginal")
_KNOWN = (
    "for tokens there are mask, pad, unk (with their ids in Tokens), delete and unigram; in embeddings zero and mean"
)


@dataclass(frozen=True)
class Absence:
    """What a model and its data offer to stand for a feature that is not there.

    Attributes
    ----------
    symbols : mapping of str to Tensor (*slot)
        Numbers of one piece, by the name of the masker.
    pool : Tensor (M, *slot) or None
        What exists in the reference samples, one feature after the other; NaN behind the last piece of a word.
    live : Tensor (N, n, P) of bool or None
        Pieces of the samples that there are; None: all.
    takes_missing : bool
        Whether the model takes a feature of NaN as one that is not there.
    drawn_words : callable or None
        Makes the features that a masked language model draws by uniform numbers (N, n).
    """

    symbols: Mapping[str, Tensor] = field(default_factory=dict)
    pool: Tensor | None = None
    live: Tensor | None = None
    takes_missing: bool = False
    drawn_words: Callable[[Tensor], Tensor] | None = None


def deleted(name: str, inputs: Tensor, absence: Absence) -> Tensor:
    """NaN everywhere: features that are not there.

    Raises
    ------
    UnsupportedError
        If the model does not take missing values.
    """
    if not absence.takes_missing:
        raise UnsupportedError(
            f"the {name} masker needs a model that takes missing values, and this one is not known to",
            "text models do, and estimators that allow NaN",
        )
    return torch.full_like(inputs, torch.nan)


def token_fill(name: str, inputs: Tensor, layout: FeatureLayout, absence: Absence, draws: Draws) -> Tensor:
    """Inputs (N, *input_shape) with every token removed.

    ``mask``, ``pad`` and ``unk`` put the symbol in every piece of a word that there is, ``mask_word`` in the first
    one only; the others are not there. ``delete`` closes the text up. ``unigram`` (``marginal`` is the same) draws a
    token of the reference samples for every place, of words one with at most as many pieces. In embeddings ``mean`` is
    the mean of the reference samples' tokens, and ``zero`` is 0. A ``pad`` is attended to: it is a strange word, not
    an absence. ``mlm`` draws a token by a masked language model for every place.

    Raises
    ------
    UnsupportedError
        If the masker has no meaning for tokens, or needs a symbol or reference samples that are not there.
    """
    if name not in _OF_TOKENS or (layout.discrete and name in ("zero", "mean")):
        what = "token ids, which are names and not quantities" if layout.discrete else "tokens"
        raise UnsupportedError(f"the {name} masker is not defined for {what}", _KNOWN)
    if name == "delete":
        return deleted(name, inputs, absence)
    if name == "zero":
        return torch.zeros_like(inputs)
    if name in ("unigram", "marginal"):
        return _unigram(name, inputs, layout, absence, draws)
    if name == "mlm":
        if absence.drawn_words is None:
            raise UnsupportedError("the mlm masker needs a masked language model", "give xb.text_model(..., mlm=)")
        return absence.drawn_words(draws.uniform((layout.n_features,)))
    if name == "mean":
        return _in_live_pieces(inputs, _mean(inputs, absence), absence.live)
    symbol = "mask" if name == "mask_word" else name
    if symbol not in absence.symbols:
        raise UnsupportedError(
            f"the {name} masker needs the symbol {symbol!r}, and none is known",
            f"give its id, special_tokens=Tokens({symbol}=...); in a suite, Data(tokens=...)",
        )
    filled = _in_live_pieces(inputs, absence.symbols[symbol].to(inputs), absence.live)
    if name == "mask_word" and layout.slot == 2:
        filled[:, :, 1:] = deleted(name, filled[:, :, 1:], absence)
    return filled


def _in_live_pieces(inputs: Tensor, piece: Tensor, live: Tensor | None) -> Tensor:
    """Inputs whose pieces that there are all hold the numbers of one ``piece`` (D,)."""
    alive = ~torch.isnan(inputs[..., :1]) if live is None else live.unsqueeze(-1)
    return torch.where(alive, piece, inputs)


def _mean(inputs: Tensor, absence: Absence) -> Tensor:
    """Mean (D,) of the pieces in the reference samples; without any, UnsupportedError."""
    if absence.pool is None:
        raise UnsupportedError("the mean masker needs reference samples for tokens", "pass background=, texts")
    return absence.pool.flatten(0, -2).nanmean(dim=0).to(inputs)


def fitting_words(pool: Tensor, width: int) -> Tensor:
    """Words (M, P, D) of at most ``width`` pieces, as (K, width, D) with NaN behind the last piece of each."""
    padded = torch.nn.functional.pad(pool, (0, 0, 0, max(0, width - pool.shape[1])), value=torch.nan)
    return padded[(~torch.isnan(padded[..., 0])).sum(dim=1) <= width][:, :width]


def _unigram(name: str, inputs: Tensor, layout: FeatureLayout, absence: Absence, draws: Draws) -> Tensor:
    if absence.pool is None:
        raise UnsupportedError(f"the {name} masker needs reference samples", "pass background=, texts")
    pool, n = absence.pool.to(inputs), layout.n_features
    if layout.slot == 1:
        return pool[draws.integers(len(pool), (n,))]
    pool = fitting_words(pool, inputs.shape[2])
    if not len(pool):
        raise UnsupportedError(f"the {name} masker needs reference words with as few pieces as every word has")
    pieces = (~torch.isnan(pool[..., 0])).sum(dim=1)
    order = pieces.sort(stable=True)
    pool = pool[order.indices]
    own = ~torch.isnan(inputs[..., 0]) if absence.live is None else absence.live
    # Words with at most as many pieces come first in the pool.
    n_fitting = torch.searchsorted(order.values.contiguous(), own.sum(dim=2).contiguous(), right=True)
    if bool((n_fitting == 0).any()):
        raise UnsupportedError(f"the {name} masker needs reference words with as few pieces as every word has")
    place = (draws.uniform((n,)).double() * n_fitting).long().clamp(max=len(pool) - 1)
    return pool[torch.minimum(place, n_fitting - 1)]
