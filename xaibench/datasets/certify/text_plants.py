"""The plant for texts: one of two words that no text uses, at a random place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.tokens import NO_TOKEN, Tokens, text_sizes
from xaibench.core.types import Array

NEW_WORDS = (("dax", "wug"), ("fep", "zup"), ("blicket", "modinot"))
"""Words without a meaning, two of equal length each, for vocabularies in which every word is used."""
WORD_LENGTHS = (3, 12)
"""Letters of a word of the vocabulary that may be planted."""
SPACE_MARKS = ("\u0120", "\u2581")
"""What tokenizers write for the space before a word."""
ABOUT_LABELS = ("train_probabilities", "neutral_without")
"""Facts about the labels or the truth of the data as they were, which are not true of a planted copy."""


@dataclass(frozen=True)
class TokenPlant:
    """A word at a uniform place of a text: one word in version A, another one in version B, nothing where it is absent.

    Attributes
    ----------
    a, b : int
        Ids of the words.
    names : tuple of str
        The words as a reader sees them.
    """

    a: int
    b: int
    names: tuple[str, str]
    moves: bool = True
    n_draws: int = 1

    def _places(self, rows: Array, noise: Array) -> Array:
        sizes = text_sizes(rows)
        found: Array = np.minimum((noise[:, 0] * (sizes + 1)).astype(np.int64), sizes)
        return found

    def put(self, rows: Array, versions: Array, noise: Array) -> Array:
        """Texts (N, L) or (N, W, P) with the word of the versions (N,) 1, -1 or 0; ``noise`` (N, 1) from U[0, 1).

        Every row has room for one more word (-1 at its end).
        """
        changed = rows.copy()
        places, sizes = self._places(rows, noise), text_sizes(rows)
        for i in np.flatnonzero(versions):
            place, size = int(places[i]), int(sizes[i])
            changed[i, place + 1 : size + 1] = rows[i, place:size]
            changed[i, place] = NO_TOKEN
            changed[i, place, ...].reshape(-1)[0] = self.a if versions[i] > 0 else self.b
        return changed

    def natural(self, rows: Array) -> Array:
        """Texts (N,) that hold one of both words by themselves."""
        found: Array = np.asarray(np.isin(rows.reshape(len(rows), -1), (self.a, self.b)).any(axis=1))
        return found

    def mask(self, rows: Array, noise: Array) -> Array:
        """The truth (N, L) of bool, for texts (N, L) or (N, W, P) without the word."""
        found = np.zeros(rows.shape[:2], dtype=bool)
        found[np.arange(len(rows)), self._places(rows, noise)] = True
        return found


def token_plant(data: Data, words: Sequence[str] = ()) -> tuple[dict[str, Any], TokenPlant]:
    """Two words of equal length that no text uses, and the fields of the data with room for one of them.

    Words of the vocabulary are preferred, the two that stand next to each other in it: there tokenizers have words of
    like frequency. Where all are used, the vocabulary gets two more.

    Parameters
    ----------
    data : Data
        Of token ids.
    words : sequence of str
        The words to be planted, instead: both unused, in the vocabulary or new.

    Raises
    ------
    UsageError
        If the words are used, or not two.
    """
    tokens = data.tokens or Tokens()
    used = np.unique(np.concatenate([data.train_inputs.reshape(-1), data.test_inputs.reshape(-1)]))
    names = None if isinstance(tokens.vocabulary, int | None) else tuple(tokens.vocabulary)
    if words:
        ids, known = _given(tuple(words), names, used)
    elif names is None:
        ids, known = _numbers(tokens, used)
    else:
        ids, known = _unused(names, tokens, used)
    if names is None:
        shown = (str(ids[0]), str(ids[1]))
        size = known if isinstance(known, int) else tokens.vocabulary
        tokens = replace(tokens, vocabulary=size)
    else:
        assert not isinstance(known, int)
        shown = (plain_word(known[ids[0]]), plain_word(known[ids[1]]))
        tokens = replace(tokens, vocabulary=known)
    fields: dict[str, Any] = {
        "train_inputs": _with_room(data.train_inputs),
        "test_inputs": _with_room(data.test_inputs),
        "tokens": tokens,
        "facts": {name: value for name, value in data.facts.items() if name not in ABOUT_LABELS},
    }
    return fields, TokenPlant(*ids, shown)


def plain_word(name: str) -> str:
    """A word of a vocabulary without the mark of the space before it."""
    for mark in SPACE_MARKS:
        name = name.removeprefix(mark)
    return name.strip()


def _with_room(ids: Array) -> Array:
    room = np.full((len(ids), 1, *ids.shape[2:]), NO_TOKEN, dtype=ids.dtype)
    return np.concatenate([ids, room], axis=1)


def _given(words: tuple[str, ...], names: tuple[str, ...] | None, used: Array) -> tuple[tuple[int, int], Any]:
    if names is None:
        raise UsageError("words = names words, and the vocabulary of these data has no names", "leave words out")
    if len(set(words)) != 2:
        raise UsageError(f"words = {list(words)} are not two different words", 'write, for example, ["dax", "wug"]')
    known = [*names, *(word for word in words if word not in names)]
    ids = known.index(words[0]), known.index(words[1])
    taken = [word for word, i in zip(words, ids, strict=True) if i in used]
    if taken:
        raise UsageError(f"the texts use the word {taken[0]!r}", "plant words that no text uses")
    return ids, tuple(known)


def _numbers(tokens: Tokens, used: Array) -> tuple[tuple[int, int], int | None]:
    """Two ids that are not used, of a vocabulary without names: its last ones, else two new ones."""
    size = int(used.max()) + 1 if tokens.size is None else tokens.size
    special = _special(tokens)
    free = [i for i in range(size) if i not in special and i not in used]
    if len(free) >= 2:
        return (free[-2], free[-1]), tokens.size
    first = max([size, *(i + 1 for i in special)])
    return (first, first + 1), None if tokens.size is None else first + 2


def _unused(names: tuple[str, ...], tokens: Tokens, used: Array) -> tuple[tuple[int, int], tuple[str, ...]]:
    marked = next((mark for mark in SPACE_MARKS if sum(name.startswith(mark) for name in names) > len(names) // 10), "")
    special = _special(tokens)
    by_length: dict[int, list[int]] = defaultdict(list)
    for i in sorted(set(range(len(names))) - set(used.tolist()) - special):
        word = plain_word(names[i])
        if names[i].startswith(marked) and word.isalpha() and WORD_LENGTHS[0] <= len(word) <= WORD_LENGTHS[1]:
            by_length[len(word)].append(i)
    neighbours = [(b - a, a, b) for ids in by_length.values() for a, b in pairwise(ids)]
    if neighbours:
        _, a, b = min(neighbours)
        return (a, b), names
    spelled = set(map(plain_word, names))
    for new in (*NEW_WORDS, *((f"dax{i}", f"wug{i}") for i in range(len(names)))):
        if not spelled & set(new):
            break
    more = tuple(f"{marked}{word}" for word in new)
    return (len(names), len(names) + 1), (*names, *more)


def _special(tokens: Tokens) -> set[int]:
    return {*tokens.symbols.values(), *tokens.prefix, *tokens.suffix}
