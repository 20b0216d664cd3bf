"""Sentences from templates, all of whose words are known: a gender said once or three times, and monotonicity."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt

from xaibench.core.data import Data, PairSource
from xaibench.core.data_registry import dataset
from xaibench.datasets.planted_texts import (
    NeutralWithoutTruth,
    PlantedText,
    TextChange,
    TextVocabulary,
    marked_places,
    planted_data,
)
from xaibench.datasets.splits import generator

_TRUTH = {"truth.mask", "input_pair.context"}

SUBJECTS = (
    ("she", "jane", "mary"),
    ("he", "john", "peter"),
)
RELATIVES = (
    ("aunt", "niece", "sister", "mother", "daughter"),
    ("uncle", "nephew", "brother", "father", "son"),
)
"""Words that decide are neither the rarest nor the most frequent, so that counting words does not find them."""
ADVERBS = ("today", "yesterday", "often", "rarely", "once", "again", "sometimes", "suddenly")
VERBS = ("met", "called", "saw", "helped", "visited", "thanked", "asked", "found")
SITES = ("home", "work", "school", "church", "night", "noon", "lunch", "sea")

GENDER_MASKING = {"subject": 0.5, "all": 0.3}
"""Largest rates of masking: more of it, and a net adds up evidence that is there three times instead of saturating."""
MONOTONICITY_MASKING = 0.5
HIDDEN = 0.1
"""Share of training sentences with redundant evidence that is all masked, which masking at random seldom does."""


@dataset("gender_templates", features="tokens", provides=_TRUTH | {"truth.distractors"}, version=1)
def gender_templates(
    *,
    seed: int,
    evidence: Literal["subject", "all"] = "subject",
    n_train: PositiveInt = 4000,
    n_test: PositiveInt = 600,
) -> Data:
    """Is a woman or a man spoken of? "Today jane met the uncle at lunch and the sister".

    With ``evidence="subject"`` the gender of the subject is the class; the genders of both relatives are coins, and
    they are distractors. With ``"all"`` the three agree: each alone tells the class, so that the evidence is redundant
    and leaving one word out changes nothing. The idea is that of GECO (Wilming et al. 2024); the sentences are
    xaibench's own.

    Parameters
    ----------
    seed : int
    evidence : {"subject", "all"}
    n_train, n_test : int
    """
    rng = generator("gender_templates", evidence, seed)
    redundant = evidence == "all"

    def sentence() -> PlantedText:
        label = int(rng.integers(2))
        genders = [label] * 3 if redundant else [label, *rng.integers(2, size=2).tolist()]
        who, first, second = (
            _one(part[g], rng) for part, g in zip((SUBJECTS, RELATIVES, RELATIVES), genders, strict=True)
        )
        words = [_one(ADVERBS, rng), who, _one(VERBS, rng), "the", first, "at", _one(SITES, rng), "and", "the", second]
        truth, rest = ([1, 4, 9], []) if redundant else ([1], [4, 9])
        return PlantedText(words, label, truth, rest)

    # Places are fixed in templates, so that a deletion moves words to where they never were.
    tolerance = 0.1 if redundant else 0.05
    check = NeutralWithoutTruth(tolerance, tolerance, deleted=False)
    words = [*(w for part in (*SUBJECTS, *RELATIVES) for w in part), *ADVERBS, *VERBS, *SITES, "the", "at", "and"]
    return _template_data(
        sentence, words, n_train, n_test, rng, GENDER_MASKING[evidence],
        neutral_without="all" if redundant else "any", check=check,
        class_names=("female", "male"),
    )  # fmt: skip


LEXICON: dict[str, dict[str, tuple[str, ...]]] = {
    "being": {
        "animal": ("dog", "cat"),
        "plant": ("rose", "fern"),
    },
    "thing": {
        "vehicle": ("car", "boat"),
        "tool": ("hammer", "saw"),
    },
}
"""Three levels: what is said of the lowest word is said of one above it, not the other way round."""
QUANTIFIERS = ("some", "no")
TOWNS = (
    "town", "village", "street", "house", "valley", "harbour", "city", "forest", "square", "market", "garden",
    "library", "station", "museum", "kitchen", "office",
)  # fmt: skip
PHRASES = (
    "perhaps", "surely", "clearly", "indeed", "maybe", "likely", "probably", "certainly", "obviously", "apparently",
    "evidently", "presumably", "possibly", "really", "truly", "simply", "hardly", "merely", "still", "now", "already",
    "soon", "later", "today", "proudly", "gladly", "quietly", "secretly", "openly", "happily",
)  # fmt: skip


def lexicon_pairs() -> tuple[list[tuple[str, str]], ...]:
    """Pairs of a word and one above it: of the middle and the top level, the lowest and the middle, the lowest and the
    top.
    """
    middles = [(middle, top, low) for top, below in LEXICON.items() for middle, low in below.items()]
    return (
        [(middle, top) for middle, top, _ in middles],
        [pair for middle, _, low in middles for pair in product(low, (middle,))],
        [pair for _, top, low in middles for pair in product(low, (top,))],
    )


@dataset("monotonicity_templates", features="tokens", provides=_TRUTH, version=1)
def monotonicity_templates(*, seed: int, n_train: PositiveInt = 4000, n_test: PositiveInt = 600) -> Data:
    """Does the second half follow? "No person in the town surely owns animal | so one surely owns dog".

    One of two words is above the other in a lexicon of three levels, and words of the middle level appear in both
    roles. With *some* the second half follows if the first word is the lower one, with *no* if it is the higher one: an
    exclusive or, so that the truth are the quantifier and both words. The idea is that of MoNLI (Geiger et al. 2020);
    the sentences and the lexicon are xaibench's own.

    Parameters
    ----------
    seed : int
    n_train, n_test : int
    """
    rng = generator("monotonicity_templates", seed)
    pairs = lexicon_pairs()

    def sentence() -> PlantedText:
        levels = pairs[int(rng.integers(len(pairs)))]
        low, high = levels[int(rng.integers(len(levels)))]
        upward, negated = int(rng.integers(2)), int(rng.integers(2))
        first, second = (low, high) if upward else (high, low)
        how = [_one(PHRASES, rng) for _ in range(2)]
        start = [QUANTIFIERS[negated], "person", "in", "the", _one(TOWNS, rng), how[0], "owns", first]
        words = [*start, "|", "so", "one", how[1], "owns", second]
        return PlantedText(words, upward ^ negated, [0, 7, 13])

    nouns = sorted({word for levels in pairs for pair in levels for word in pair})
    words = [*QUANTIFIERS, *nouns, *TOWNS, *PHRASES, "person", "in", "the", "owns", "|", "so", "one"]
    check = NeutralWithoutTruth(deleted=False)
    return _template_data(
        sentence, words, n_train, n_test, rng, MONOTONICITY_MASKING, neutral_without="any", check=check,
        class_names=("does not follow", "follows"),
    )  # fmt: skip


def _hidden(text: PlantedText, rng: np.random.Generator) -> PlantedText:
    """The same sentence without its evidence: it says nothing."""
    words = ["[MASK]" if i in text.truth else word for i, word in enumerate(text.words)]
    return PlantedText(words, int(rng.integers(2)), neutral=True)


def _one(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _template_data(
    sentence: Callable[[], PlantedText],
    words: list[str],
    n_train: int,
    n_test: int,
    rng: np.random.Generator,
    masking: float,
    *,
    neutral_without: Literal["any", "all"],
    check: NeutralWithoutTruth,
    class_names: tuple[str, ...],
) -> Data:
    """Data of sentences, no test sentence among those for training; truth and rest are exchanged between sentences."""
    test = [sentence() for _ in range(n_test)]
    known = {tuple(text.words) for text in test}
    train: list[PlantedText] = []
    redundant = neutral_without == "all"
    while len(train) < n_train:
        text = sentence()
        if tuple(text.words) not in known:
            train.append(_hidden(text, rng) if redundant and rng.random() < HIDDEN else text)
    others = [test[i] for i in rng.permutation(n_test)]

    def mixed(truth: PlantedText, rest: PlantedText) -> list[str]:
        return [truth.words[i] if i in truth.truth else word for i, word in enumerate(rest.words)]

    vocabulary, width = TextVocabulary(list(dict.fromkeys(words))), len(test[0].words)
    changes = [
        TextChange("truth of another sentence", lambda text, row: (mixed(others[row], text), others[row].label)),
        TextChange("rest of another sentence", lambda text, row: (mixed(text, others[row]), text.label)),
    ]
    swapped = [mixed(text, other) for text, other in zip(test, others, strict=True)]
    pair = PairSource(
        "input_pair.context",
        "rest of another sentence",
        inputs=vocabulary.ids(swapped, width),
        labels=np.array([text.label for text in test]),
        truth=marked_places(test, "truth", width),
    )
    more: dict[str, Any] = {}
    if any(text.distractors for text in test):
        more["test_distractors"] = marked_places(test, "distractors", width)
    return planted_data(
        train, test, vocabulary, changes, masking=masking, neutral_without=neutral_without,
        class_names=class_names, accuracy_floor=0.98, checks=(check,), pairs=(pair,), **more,
    )  # fmt: skip
