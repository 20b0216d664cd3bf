"""Readers of texts: strings to the ids of their tokens or words, as features, and nothing cut silently."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from xaibench.core.errors import UsageError
from xaibench.core.tokens import LARGEST_ID, NO_TOKEN, Tokens
from xaibench.core.types import Array

TextUnit = Literal["word", "token"]
SEGMENT = re.compile(r"\s*(?:\w+|[^\w\s])")
"""A word, or one character that is neither of a word nor space, with the space before it."""
_PROBES = ("a", "the")
_SPECIALS = ("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
_ENDS = ("eos_token_id", "bos_token_id")
_ORDINARY = ("mask_token_id", "unk_token_id")
"""Special tokens that may stand in a text: a hidden and an unknown one."""


def strings_of(texts: Any, name: str) -> list[str]:
    """A caller's texts as a list of strings that are not empty.

    Raises
    ------
    UsageError
        If they are not strings, or one is empty.
    """
    if isinstance(texts, str):
        raise UsageError(f"{name} are one string", "give a list of texts, also for a single one")
    if not isinstance(texts, Iterable):
        raise UsageError(f"{name} are a {type(texts).__name__}", "give a list of texts")
    found = list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise UsageError(f"{name} hold a {type(text).__name__}, number {i}", "give a list of strings")
        if not text.strip():
            raise UsageError(f"{name} hold an empty text, number {i}", "leave it out: there is nothing to explain")
    if not found:
        raise UsageError(f"{name} have no texts", "give at least one")
    return found


def padded_ids(rows: Sequence[Sequence[Sequence[int]]], unit: TextUnit) -> Array:
    """Pieces of the features of texts as ids (N, L), or of words (N, W, P), -1 for what does not exist; int64."""
    longest = max(map(len, rows))
    width = max(len(pieces) for row in rows for pieces in row) if unit == "word" else 1
    ids: Array = np.full((len(rows), longest, width), NO_TOKEN, dtype=np.int64)
    for i, row in enumerate(rows):
        for j, pieces in enumerate(row):
            ids[i, j, : len(pieces)] = pieces
    return ids if unit == "word" else ids[..., 0]


def check_length(n: int, length: int, unit: str, name: str, i: int) -> None:
    """Raise UsageError if a text has more features than may be explained."""
    if n > length:
        raise UsageError(
            f"text {i} of {name} has {n} {unit}s, more than length = {length}",
            f"say length={n} if it is to be explained as a whole, or shorten it: nothing is cut silently",
        )


class TokenizerReader:
    """Reads texts with a tokenizer: features are its tokens, or words of several tokens.

    Parameters
    ----------
    tokenizer : callable
        ``tokenizer(text, add_special_tokens=False)`` gives ``input_ids``, as those of the library transformers do, or
        ``tokenizer(text)`` gives a list of ids.
    unit : {"word", "token"}
    length : int
        Most features of a text.
    vocabulary : int
        Number of ids that the model knows.
    most_places : int, optional
        Longest sequence that the model takes, what stands around a text included.

    Raises
    ------
    UsageError
        If the tokenizer is not one, or gives ids that the model does not know.
    """

    def __init__(
        self, tokenizer: Any, unit: TextUnit, length: int, vocabulary: int, most_places: int | None = None
    ) -> None:
        if not callable(tokenizer):
            raise UsageError(f"a {type(tokenizer).__name__} is not a tokenizer", "tokenizer(text) gives input_ids")
        self.tokenizer, self.unit, self.length = tokenizer, unit, length
        self.vocabulary, self.most_places = vocabulary, most_places
        self._specials = {getattr(tokenizer, name, None) for name in _SPECIALS} - {None}
        self._specials -= {getattr(tokenizer, name, None) for name in _ORDINARY}
        self.tokens = self._tokens()

    def read(self, texts: Any, name: str = "inputs") -> Array:
        """Ids (N, L) of tokens, or (N, W, P) of the pieces of words, -1 for what does not exist; int64.

        Raises
        ------
        UsageError
            If a text is empty, too long, of special tokens, or has ids that the model does not know.
        """
        return padded_ids([self._features(text, name, i) for i, text in enumerate(strings_of(texts, name))], self.unit)

    def identities(self, ids: Array) -> Array:
        """What draws of these texts are keyed by: the ids."""
        return ids

    def shown(self, pieces: Sequence[int]) -> str:
        """The feature of these pieces as a reader sees it."""
        decode = getattr(self.tokenizer, "decode", None)
        return " ".join(map(str, pieces)) if decode is None else str(decode(list(pieces))).strip()

    def _features(self, text: str, name: str, i: int) -> list[list[int]]:
        ids, words = self._tokenized(text)
        if not ids or all(id_ in self._specials for id_ in ids):
            what = "only special tokens" if ids else "no tokens"
            raise UsageError(f"text {i} of {name} has {what}", "leave it out: there is nothing to explain")
        self._check(ids, name, i)
        parts = [[id_] for id_ in ids] if self.unit == "token" else words
        check_length(len(parts), self.length, self.unit, name, i)
        places = len(ids) + len(self.tokens.prefix) + len(self.tokens.suffix)
        if self.most_places is not None and places > self.most_places:
            raise UsageError(
                f"text {i} of {name} makes a sequence of {places} tokens, and the model takes {self.most_places}",
                "shorten it: nothing is cut silently",
            )
        return parts

    def _check(self, ids: list[int], name: str, i: int) -> None:
        unknown = [id_ for id_ in ids if not 0 <= id_ < self.vocabulary]
        if unknown:
            raise UsageError(
                f"text {i} of {name} has the token id {unknown[0]}, and the model knows ids from 0 to "
                f"{self.vocabulary - 1}",
                "give the tokenizer that the model was trained with",
            )
        special = [id_ for id_ in ids if id_ in self._specials]
        if special:
            raise UsageError(
                f"text {i} of {name} holds the special token {self.shown(special[:1])!r}",
                "leave it out: what stands around a text is put there when the model is called, and is never a feature",
            )

    def _tokenized(self, text: str) -> tuple[list[int], list[list[int]]]:
        """Ids of a text without anything around it, and the same as words."""
        answer = self._ask(text)
        ids = _ids(answer)
        if self.unit == "token" or not ids:
            return ids, []
        numbers = _word_numbers(answer, len(ids))
        if numbers is None or (len(set(numbers)) == 1 and len(text.split()) > 1):
            segments = SEGMENT.findall(text)
            parts = [_ids(self._ask(segment if i else segment.lstrip())) for i, segment in enumerate(segments)]
            if [id_ for part in parts for id_ in part] != ids:
                raise UsageError(
                    "the tokenizer does not say which tokens make a word, and tokenises words otherwise than texts",
                    'say unit="token", or give a fast tokenizer',
                )
            return ids, [part for part in parts if part]
        words: list[list[int]] = []
        for j, (id_, number) in enumerate(zip(ids, numbers, strict=True)):
            if j and number is not None and number == numbers[j - 1]:
                words[-1].append(id_)
            else:
                words.append([id_])
        return ids, words

    def _ask(self, text: str, *, around: bool = False) -> Any:
        try:
            return self.tokenizer(text, add_special_tokens=around)
        except TypeError:
            return self.tokenizer(text)

    def _tokens(self) -> Tokens:
        """The symbols, and what the tokenizer puts around every text."""
        found = set()
        for probe in _PROBES:
            bare, full = _ids(self._ask(probe)), _ids(self._ask(probe, around=True))
            starts = [k for k in range(len(full) - len(bare) + 1) if full[k : k + len(bare)] == bare]
            if not starts:
                raise UsageError("the tokenizer changes a text when it puts special tokens around it")
            found.add((tuple(full[: starts[0]]), tuple(full[starts[0] + len(bare) :])))
        if len(found) > 1:
            raise UsageError("the tokenizer puts other special tokens around every text")
        ((prefix, suffix),) = found
        mask, pad, unk = (getattr(self.tokenizer, f"{name}_token_id", None) for name in ("mask", "pad", "unk"))
        if pad is None and not prefix and not suffix:
            # A decoder without padding: the end of a text stands for an empty one.
            pad = next((i for i in (getattr(self.tokenizer, name, None) for name in _ENDS) if i is not None), None)
        try:
            return Tokens(self.vocabulary, mask, pad, unk, prefix, suffix)
        except UsageError as error:
            raise UsageError(
                f"the tokenizer is not the model's: {error.message}, and the model knows {self.vocabulary}",
                "give the tokenizer that the model was trained with",
            ) from error


class StringReader:
    """Reads texts as words, for functions of strings: every word, with the space before it, has an id.

    Parameters
    ----------
    length : int
        Most words of a text.
    symbols : mapping of str to str
        Strings that stand for a hidden (``mask``) or an unknown (``unk``) word.
    """

    unit: TextUnit = "word"

    def __init__(self, length: int, symbols: dict[str, str] | None = None) -> None:
        self.length = length
        self.words = [""]
        self._number = {"": 0}
        known = {name: self._id(f" {text}") for name, text in (symbols or {}).items()}
        # Nothing stands for an empty word.
        self.tokens = Tokens(None, known.get("mask"), 0, known.get("unk"))

    def read(self, texts: Any, name: str = "inputs") -> Array:
        """Ids (N, L) of the words, -1 behind the end; int64."""
        rows = []
        for i, text in enumerate(strings_of(texts, name)):
            words = SEGMENT.findall(text)
            if not words:
                raise UsageError(f"text {i} of {name} has no words", "leave it out: there is nothing to explain")
            check_length(len(words), self.length, "word", name, i)
            rows.append([[self._id(word)] for word in words])
        return padded_ids(rows, "token")

    def identities(self, ids: Array) -> Array:
        """What draws of these texts are keyed by: digests of the words, whichever texts were read before."""
        return np.array([[NO_TOKEN if i < 0 else _digest(self.words[i]) for i in row] for row in ids.tolist()])

    def shown(self, pieces: Sequence[int]) -> str:
        """The word of this id."""
        return "".join(self.words[i] for i in pieces).strip()

    def joined(self, ids: Array) -> list[str]:
        """Texts of the words of ids (N, m)."""
        return ["".join(self.words[i] for i in row).strip() for row in ids.tolist()]

    def _id(self, word: str) -> int:
        if word not in self._number:
            if len(self.words) >= LARGEST_ID:
                raise UsageError("there are more different words than ids", "explain fewer texts at a time")
            self._number[word] = len(self.words)
            self.words.append(word)
        return self._number[word]


def function_of_ids(function: Callable[[list[str]], Any], reader: StringReader) -> Callable[..., Any]:
    """A function of texts as one of the ids (N, m) of their words."""

    def of_ids(ids: Array, **context: Array) -> Any:
        return function(reader.joined(ids), **context)

    return of_ids


def _digest(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big") >> 1


def _ids(answer: Any) -> list[int]:
    """Ids of a tokenizer's answer: its ``input_ids``, or the answer itself."""
    found = answer
    if not isinstance(answer, list | tuple | np.ndarray):
        try:
            found = answer["input_ids"]
        except (KeyError, TypeError, IndexError) as error:
            raise UsageError(
                f"the tokenizer returned a {type(answer).__name__} without input_ids", "tokenizer(text) gives input_ids"
            ) from error
    try:
        ids = [int(i) for i in found]
    except (TypeError, ValueError) as error:
        raise UsageError("the tokenizer does not give a list of whole numbers for a text") from error
    return ids


def _word_numbers(answer: Any, n: int) -> list[int | None] | None:
    """Number of the word that each of ``n`` tokens belongs to, where the tokenizer says it."""
    ask = getattr(answer, "word_ids", None)
    if ask is None:
        return None
    try:
        found = list(ask())
    except ValueError:  # Slow tokenizers have the method, and raise.
        return None
    return found if len(found) == n else None
