"""What token ids mean: the vocabulary, the symbols that stand for an absence, the tokens around every text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xaibench.core.errors import DataError, UsageError
from xaibench.core.types import Array

NO_TOKEN = -1
"""Id behind the end of a text, where rows are as long as the longest."""
MASKING_SYMBOLS = ("mask", "pad", "unk")
LARGEST_ID = 2**24
"""Ids from here on are not whole numbers in float32."""


@dataclass(frozen=True)
class Tokens:
    """What the ids of a text model mean.

    Parameters
    ----------
    vocabulary : int or sequence of str, optional
        Number of ids, or the tokens themselves, by id. With it, ids outside are refused.
    mask, pad, unk : int, optional
        Ids of the symbols for a hidden, an empty and an unknown token: what maskers of these names put in
        the place of a token.
    prefix, suffix : sequence of int
        Ids that the model wants around every text, such as ``[CLS]`` and ``[SEP]``. They are put there when the
        model is called, and are never features: not explained, perturbed or counted.

    Examples
    --------
    >>> import xaibench as xb
    >>> tokens = xb.Tokens(vocabulary=["[PAD]", "[MASK]", "a", "fine", "film"], pad=0, mask=1)
    >>> tokens.size, tokens.symbols
    (5, {'mask': 1, 'pad': 0})
    """

    vocabulary: int | Sequence[str] | None = None
    mask: int | None = None
    pad: int | None = None
    unk: int | None = None
    prefix: Sequence[int] = ()
    suffix: Sequence[int] = ()

    def __post_init__(self) -> None:
        for name in ("prefix", "suffix"):
            object.__setattr__(self, name, tuple(int(i) for i in getattr(self, name)))
        if self.vocabulary is not None and not isinstance(self.vocabulary, int):
            object.__setattr__(self, "vocabulary", tuple(str(w) for w in self.vocabulary))
        around = {"prefix": self.prefix, "suffix": self.suffix}
        named = [*self.symbols.items(), *((name, i) for name, ids in around.items() for i in ids)]
        for name, i in named:
            if i < 0 or (self.size is not None and i >= self.size):
                raise UsageError(f"{name} = {i} is not an id of these tokens", f"ids go from 0 to {self._last}")

    @property
    def size(self) -> int | None:
        """Number of ids, or None where it is unknown."""
        return self.vocabulary if isinstance(self.vocabulary, int | None) else len(self.vocabulary)

    @property
    def symbols(self) -> dict[str, int]:
        """Ids of the symbols that there are, by name."""
        found = {name: getattr(self, name) for name in MASKING_SYMBOLS}
        return {name: int(i) for name, i in found.items() if i is not None}

    @property
    def identity(self) -> list[object]:
        """Everything that a number can depend on, as plain values."""
        words = self.vocabulary if isinstance(self.vocabulary, int | None) else list(self.vocabulary)
        return [words, self.mask, self.pad, self.unk, list(self.prefix), list(self.suffix)]

    @property
    def _last(self) -> str:
        return "the last of the vocabulary" if self.size is None else str(self.size - 1)


class TextReader(Protocol):
    """Reads strings for a model of token ids."""

    def read(self, texts: Any, name: str = "inputs") -> Array:
        """Ids (N, L) of tokens, or (N, W, P) of the pieces of words, -1 for what does not exist; int64."""
        ...

    def identities(self, ids: Array) -> Array:
        """What draws of texts of these ids are keyed by; same shape."""
        ...

    def shown(self, pieces: Sequence[int]) -> str:
        """The feature of these pieces as a reader sees it."""
        ...


def check_ids(ids: Array, tokens: Tokens | None, name: str) -> None:
    """Raise DataError unless these are token ids (N, L) or (N, W, P): left-aligned, and in the vocabulary.

    Parameters
    ----------
    ids : array of int
        -1 behind the end of a text, and behind the last piece of a word.
    tokens : Tokens or None
    name : str
        For messages.
    """
    if ids.ndim not in (2, 3):
        raise DataError(f"{name} have shape {ids.shape}", "token ids are (N, L), pieces of words (N, W, P)")
    present = ids != NO_TOKEN
    if (present[..., 1:] & ~present[..., :-1]).any() or (
        ids.ndim == 3 and (present[:, 1:, 0] & ~present[:, :-1, 0]).any()
    ):
        raise DataError(f"{name} hold ids behind -1", "-1 stands behind the end of a text, nowhere else")
    limit = min(LARGEST_ID, LARGEST_ID if tokens is None or tokens.size is None else tokens.size)
    low, high = (int(ids.min()), int(ids.max())) if ids.size else (0, 0)
    if low < NO_TOKEN or high >= limit:
        wrong = low if low < NO_TOKEN else high
        raise DataError(f"{name} hold the id {wrong}, which is not in the vocabulary", f"ids go from 0 to {limit - 1}")
    if not present.reshape(len(ids), -1).any(axis=1).all():
        row = int(np.flatnonzero(~present.reshape(len(ids), -1).any(axis=1))[0])
        raise DataError(
            f"{name} hold a text without tokens, row {row}", "leave empty texts out: there is nothing to explain"
        )


def shown_words(ids: Array, tokens: Tokens | None) -> tuple[str, ...]:
    """The features of one text, ids (L,) or (W, P), as a reader sees them; numbers where the tokens have no names.

    Examples
    --------
    >>> import numpy as np
    >>> shown_words(np.array([[2, 3], [1, -1]]), Tokens(["[PAD]", "film", "act", "##ing"]))
    ('acting', 'film')
    """
    names = None if tokens is None or isinstance(tokens.vocabulary, int | None) else tokens.vocabulary
    rows = ids[:, None] if ids.ndim == 1 else ids
    words = []
    for row in rows.tolist():
        pieces = [str(i) if names is None else names[i] for i in row if i != NO_TOKEN]
        # The signs of pieces within a word, and of a space before one, of the usual tokenizers.
        plain = [p.removeprefix("##") if k else p for k, p in enumerate(pieces)]
        words.append("".join(p.replace("\u0120", "").replace("\u2581", "") or p for p in plain))
    return tuple(word for word in words if word)


def text_widths(ids: Array) -> Array | None:
    """Most pieces of a word of each text (N,), int64, of pieces of words (N, W, P); None for tokens (N, L)."""
    if ids.ndim != 3:
        return None
    widths: Array = (ids != NO_TOKEN).any(axis=1).sum(axis=1).astype(np.int64)
    return widths


def text_sizes(ids: Array) -> Array:
    """Number of tokens, or of words, of each text (N,), int64."""
    present = ids != NO_TOKEN
    if ids.ndim == 3:
        present = present[..., 0]
    sizes: Array = present.sum(axis=1).astype(np.int64)
    return sizes
