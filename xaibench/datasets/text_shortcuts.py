"""Shortcuts planted into texts that say nothing themselves (after Bastings et al. 2022): the words that decide."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.data import Data, PairSource
from xaibench.core.data_registry import dataset
from xaibench.core.errors import UsageError
from xaibench.datasets.corpora import Corpus, read_corpus
from xaibench.datasets.planted_texts import (
    NeutralWithoutTruth,
    PlantedText,
    TextChange,
    TextVocabulary,
    marked_places,
    planted_data,
)
from xaibench.datasets.splits import generator

Shortcut = Literal["single", "context", "order"]
DECOYS = ("<n0>", "<n1>", "<n2>", "<n3>")
"""Words that are as frequent as planted ones and mean nothing."""
PLANTED: dict[str, tuple[str, ...]] = {
    "single": ("<a0>", "<a1>"),
    "context": ("<a0>", "<a1>", "<b0>", "<b1>", "<c>", "<d>"),
    "order": ("<p>", "<q>"),
}
LEAST_WORDS, LEAST_COUNT = 5, 3
"""Shortest text that is used, and how often a word must be in the training texts to have an id."""


@dataset(
    "text_shortcuts", features="tokens", provides={"truth.mask", "truth.distractors", "input_pair.context"}, version=1
)
def text_shortcuts(
    *,
    seed: int,
    kind: Shortcut = "context",
    corpus: Corpus = "snippets",
    length: Annotated[int, Ge(LEAST_WORDS)] = 20,
    neutral: Annotated[float, Ge(0), Le(1)] = 0.3,
    masking: Annotated[float, Ge(0), Le(1)] = 0.5,
    decoys: bool = True,
    n_train: PositiveInt = 4000,
    n_test: PositiveInt = 600,
) -> Data:
    """Real sentences with planted words, and labels that only these words decide.

    Labels are coins, so the text itself carries nothing.

    - *single*: one of ``<a0>`` and ``<a1>``, at a random place, is the label.
    - *context*: ``<a_i>``, ``<b_j>`` and one of ``<c>`` and ``<d>`` in random order at random places. With ``<c>`` the
      label is i, with ``<d>`` it is j. The truth are ``<a_i>`` and ``<c>``, or ``<b_j>`` and ``<d>``; the third planted
      word is a distractor.
    - *order*: ``<p>`` and ``<q>``, and the label says which of them comes first; the truth are both.

    Three things make that true of the model. Some training texts lack one of the true words, or all planted words, and
    a model should find both classes equally likely there; else it learns one class as the default that needs no
    evidence. Words are masked in training, with the same soft target where a true one is: so removal is not off the
    data. And every text has two of four decoys, without which the most frequent words are the true ones. Causal checks
    of the trained model are gates.

    Parameters
    ----------
    seed : int
        Of texts, labels and places.
    kind : {"single", "context", "order"}
    corpus : {"snippets", "zipf"}
        Film snippets (`xaibench data fetch movie_snippets`), or made-up words.
    length : int
        Texts are cut here, before words are planted.
    neutral : float
        Share of training texts that say nothing. Without them and without masking the truth is false.
    masking : float
        Words of a text are masked in training at a rate between 0 and this.
    decoys : bool
    n_train, n_test : int

    Raises
    ------
    UsageError
        If the corpus has fewer texts.
    DataError
        If the film snippets were not fetched.
    """
    rng = generator("text_shortcuts", kind, corpus, seed)
    texts = [words[:length] for words in read_corpus(corpus) if len(words) >= LEAST_WORDS]
    if n_train + n_test > len(texts):
        raise UsageError(f"n_train + n_test is {n_train + n_test}, and there are {len(texts)} texts")
    chosen = [texts[i] for i in rng.permutation(len(texts))[: n_train + n_test]]
    made = [_planted(list(words), kind, decoys, rng) for words in chosen]
    test, train = made[:n_test], made[n_test:]
    train = [_without_evidence(text, rng) if rng.random() < neutral else text for text in train]
    vocabulary = _vocabulary(train, kind, decoys)
    fillers = [word for text in test for word in _own_words(text)]
    strangers = [_with_other_words(text, fillers, rng) for text in test]
    width = max(len(text.words) for text in (*train, *test))
    labels = np.array([text.label for text in test])
    truth = marked_places(test, "truth", width)
    other = PairSource(
        "input_pair.context",
        "words of other texts",
        inputs=vocabulary.ids(strangers, width),
        labels=labels,
        truth=truth,
    )
    more: dict[str, Any] = {}
    if kind == "context":
        more["test_distractors"] = marked_places(test, "distractors", width)
    changes = _changes(kind, strangers, decoys)
    return planted_data(
        train,
        test,
        vocabulary,
        changes,
        masking=masking,
        neutral_without="any" if neutral else "",
        class_names=("0", "1"),
        accuracy_floor=0.98,
        checks=(NeutralWithoutTruth(),),
        pairs=(other,),
        **more,
    )


def _planted(words: list[str], kind: Shortcut, decoys: bool, rng: np.random.Generator) -> PlantedText:
    """A text with a coin for a label, and the words that decide it at random places."""
    label = int(rng.integers(2))
    true: list[int]
    false: list[int]
    if kind == "single":
        planted, true, false = [f"<a{label}>"], [0], []
    elif kind == "order":
        planted, true, false = (["<p>", "<q>"] if label == 0 else ["<q>", "<p>"]), [0, 1], []
    else:
        first, other = bool(rng.integers(2)), int(rng.integers(2))
        i, j = (label, other) if first else (other, label)
        planted = [f"<a{i}>", f"<b{j}>", "<c>" if first else "<d>"]
        true, false = ([0, 2], [1]) if first else ([1, 2], [0])
    lures = [DECOYS[i] for i in rng.permutation(len(DECOYS))[:2]] if decoys else []
    n = len(words) + len(planted) + len(lures)
    drawn = rng.permutation(n)[: len(planted) + len(lures)]
    own, lured = drawn[: len(planted)], drawn[len(planted) :]
    if kind == "order":
        own = np.sort(own)
    found = dict(zip(own.tolist(), planted, strict=True)) | dict(zip(lured.tolist(), lures, strict=True))
    rest = iter(words)
    return PlantedText(
        [found[i] if i in found else next(rest) for i in range(n)],
        label,
        sorted(int(own[i]) for i in true),
        sorted(int(own[i]) for i in false),
        sorted(lured.tolist()),
    )


def _without_evidence(text: PlantedText, rng: np.random.Generator) -> PlantedText:
    """The same text without one of its true words, or without all planted words: it says nothing."""
    gone = {int(rng.choice(text.truth))} if rng.integers(2) else {*text.truth, *text.distractors}
    kept = [i for i in range(len(text.words)) if i not in gone]
    decoys = [k for k, i in enumerate(kept) if i in text.decoys]
    return PlantedText([text.words[i] for i in kept], int(rng.integers(2)), decoys=decoys, neutral=True)


def _vocabulary(train: list[PlantedText], kind: Shortcut, decoys: bool) -> TextVocabulary:
    special = {*PLANTED[kind], *DECOYS}
    counts = Counter(word for text in train for word in text.words if word not in special)
    frequent = sorted(word for word, n in counts.items() if n >= LEAST_COUNT)
    return TextVocabulary([*PLANTED[kind], *(DECOYS if decoys else ()), *frequent])


def _special(text: PlantedText) -> set[int]:
    return {*text.truth, *text.distractors, *text.decoys}


def _own_words(text: PlantedText) -> list[str]:
    special = _special(text)
    return [word for i, word in enumerate(text.words) if i not in special]


def _with_other_words(text: PlantedText, fillers: list[str], rng: np.random.Generator) -> list[str]:
    """The words of a text, those that were not planted drawn from all test texts."""
    special = _special(text)
    drawn = rng.integers(len(fillers), size=len(text.words))
    return [word if i in special else fillers[drawn[i]] for i, word in enumerate(text.words)]


_SWAP = {
    "<a0>": "<a1>", "<a1>": "<a0>", "<b0>": "<b1>", "<b1>": "<b0>",
    "<p>": "<q>", "<q>": "<p>", "<c>": "<d>", "<d>": "<c>",
}  # fmt: skip
_NEXT_DECOY = dict(zip(DECOYS, (*DECOYS[1:], DECOYS[0]), strict=True))


def _exchanged(text: PlantedText, where: list[int], by: dict[str, str]) -> list[str]:
    return [by.get(word, word) if i in where else word for i, word in enumerate(text.words)]


def _changes(kind: Shortcut, strangers: list[list[str]], decoys: bool) -> list[TextChange]:
    """Changes of the test texts, each with the class that must follow."""
    names = {word: other for word, other in _SWAP.items() if word not in ("<c>", "<d>")}
    signs = {"<c>": "<d>", "<d>": "<c>"}

    def sign_swapped(text: PlantedText, _row: int) -> tuple[list[str], int] | None:
        planted = {
            text.words[i][1]: text.words[i][2] for i in (*text.truth, *text.distractors) if len(text.words[i]) == 4
        }
        if planted["a"] == planted["b"]:
            return None
        return _exchanged(text, text.truth, signs), 1 - text.label

    found = [
        TextChange("true word exchanged", lambda text, _: (_exchanged(text, text.truth, names), 1 - text.label)),
        TextChange("words of other texts", lambda text, row: (strangers[row], text.label)),
    ]
    if decoys:
        found.append(
            TextChange("decoys exchanged", lambda text, _: (_exchanged(text, text.decoys, _NEXT_DECOY), text.label))
        )
    if kind == "context":
        found.append(
            TextChange("distractor exchanged", lambda text, _: (_exchanged(text, text.distractors, names), text.label))
        )
        found.append(TextChange("context word exchanged", sign_swapped))
    return found
