"""Data of texts with planted words: ids, masks, causal checks, and a check that nothing is left without the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from xaibench.core.data import Data, Intervention
from xaibench.core.errors import UsageError
from xaibench.core.gates import Findings, Gate
from xaibench.core.outputs import select_output
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.tokens import NO_TOKEN, Tokens
from xaibench.core.types import Array

SYMBOLS = ("[PAD]", "[MASK]", "[UNK]", "[CLS]")
"""The first words of every vocabulary here."""
FOLLOWS = 0.98
"""Least share of texts in which the decision must be the one that a change of the text entails."""


@dataclass
class PlantedText:
    """A text, and what about it is true.

    Attributes
    ----------
    words : list of str
    label : int
    truth, distractors, decoys : list of int
        Places of words that decide, of words that seem to, and of words that never mean anything.
    neutral : bool
        Whether the text says nothing, so that all classes are equally likely.
    """

    words: list[str]
    label: int
    truth: list[int] = field(default_factory=list)
    distractors: list[int] = field(default_factory=list)
    decoys: list[int] = field(default_factory=list)
    neutral: bool = False


class TextVocabulary:
    """Words to ids: the symbols, then the words that are given; others are unknown."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = (*SYMBOLS, *words)
        self._ids = {word: i for i, word in enumerate(self.words)}

    @property
    def tokens(self) -> Tokens:
        """The ids with their symbols; ``[CLS]`` stands before every text."""
        pad, mask, unk, start = (self._ids[symbol] for symbol in SYMBOLS)
        return Tokens(self.words, pad=pad, mask=mask, unk=unk, prefix=(start,))

    def id_of(self, word: str) -> int:
        """Id of a word, or of the unknown one."""
        return self._ids.get(word, self._ids["[UNK]"])

    def ids(self, texts: Sequence[Sequence[str]], width: int) -> Array:
        """Ids (N, width) of int32, -1 behind the end."""
        found: Array = np.full((len(texts), width), NO_TOKEN, dtype=np.int32)
        for row, words in zip(found, texts, strict=True):
            row[: len(words)] = [self.id_of(word) for word in words]
        return found


def marked_places(texts: Sequence[PlantedText], kind: str, width: int) -> Array:
    """Which places of the texts are of a kind, such as ``truth``: array (N, width) of bool."""
    found: Array = np.zeros((len(texts), width), dtype=bool)
    for row, text in zip(found, texts, strict=True):
        row[getattr(text, kind)] = True
    return found


def probabilities(texts: Sequence[PlantedText], n_classes: int) -> Array:
    """What a model should say of each text: array (N, C), the class for sure, or all alike where it is neutral."""
    found: Array = np.full((len(texts), n_classes), 1 / n_classes, dtype=np.float32)
    for row, text in zip(found, texts, strict=True):
        if not text.neutral:
            row[:] = np.arange(n_classes) == text.label
    return found


@dataclass(frozen=True)
class TextChange:
    """A change of test texts, and the class that must follow.

    Attributes
    ----------
    name : str
    change : callable
        From a text and its number to other words of the same number, and the class that they have; None: left out.
    """

    name: str
    change: Callable[[PlantedText, int], tuple[list[str], int] | None]

    def intervention(self, texts: Sequence[PlantedText], vocabulary: TextVocabulary, width: int) -> Intervention:
        """The changed texts, and that the model's decision follows at least in 98 of 100."""
        found = [(row, self.change(text, row)) for row, text in enumerate(texts)]
        changed = [(row, *made) for row, made in found if made is not None]
        if not changed:
            raise UsageError(f"there is no test text in which {self.name} can be tried", "raise n_test")
        rows, words, labels = zip(*changed, strict=True)
        targets = np.array(labels, dtype=np.int64)
        return Intervention(self.name, vocabulary.ids(words, width), targets, np.array(rows), at_least=FOLLOWS)


@dataclass(frozen=True)
class NeutralWithoutTruth:
    """Whether the model knows nothing once the true words are gone: masked, and deleted.

    A net that has learned "this word, or else the other class" passes every exchange of words, while one of its
    classes is a default that needs no evidence. So the probability is also measured class by class.

    Attributes
    ----------
    tolerance : float
        Of the mean distance of the probability from 1 / C.
    class_tolerance : float
        Of the distance of a class's mean probability, over its own texts, from 1 / C.
    deleted : bool
        Whether to try deletion too, where places carry no meaning.
    """

    tolerance: float = 0.05
    class_tolerance: float = 0.05
    deleted: bool = True

    @property
    def identity(self) -> list[Any]:
        return ["neutral without truth", 1, self.tolerance, self.class_tolerance, self.deleted]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Probabilities of the class of every test text without its truth."""
        assert data.test_mask is not None
        assert data.tokens is not None
        assert data.tokens.mask is not None
        ids, truth = data.test_inputs, data.test_mask
        ways = {"masked": np.where(truth, data.tokens.mask, ids).astype(ids.dtype)}
        if self.deleted:
            ways["deleted"] = closed_up(ids, truth)
        gates = []
        for name, inputs in ways.items():
            raw = predict_raw(model, inputs)
            targets = torch.from_numpy(data.test_targets).to(raw.device)
            p = select_output(raw, targets, "probability", model.returns).cpu().numpy() - 1 / data.n_classes
            worst = max(abs(float(p[data.test_targets == c].mean())) for c in np.unique(data.test_targets))
            gates.append(
                Gate(f"|p - 1/{data.n_classes}|, truth {name}", float(np.abs(p).mean()), self.tolerance, False)
            )
            label = f"|mean p of a class - 1/{data.n_classes}|, truth {name}"
            gates.append(Gate(label, worst, self.class_tolerance, False))
        return Findings(tuple(gates))


def closed_up(ids: Array, gone: Array) -> Array:
    """Ids (N, L) without some of them: what follows moves to the left, -1 behind the end."""
    left = np.where(gone, NO_TOKEN, ids)
    order = np.argsort(left == NO_TOKEN, axis=1, kind="stable")
    found: Array = np.take_along_axis(left, order, axis=1)
    return found


def planted_data(
    train: Sequence[PlantedText],
    test: Sequence[PlantedText],
    vocabulary: TextVocabulary,
    changes: Sequence[TextChange],
    *,
    masking: float,
    neutral_without: Literal["", "any", "all"],
    **known: Any,
) -> Data:
    """Make Data of planted texts, checked by the changes.

    Parameters
    ----------
    train, test : sequence of PlantedText
    vocabulary : TextVocabulary
    changes : sequence of TextChange
        Of the test texts.
    masking : float
        Largest rate at which words are masked in training.
    neutral_without : {"", "any", "all"}
        Which true words must be masked in training for all classes to be equally likely; empty: they never are.
    **known
        Other fields of `Data`.
    """
    width = max(len(text.words) for text in (*train, *test))
    ids = {name: vocabulary.ids([t.words for t in part], width) for name, part in (("train", train), ("test", test))}
    facts: dict[str, Any] = {"masking": masking}
    if neutral_without:
        facts["neutral_without"] = neutral_without
    if any(text.neutral for text in train):
        facts["train_probabilities"] = probabilities(train, 2)
    return Data(
        "tokens",
        ids["train"],
        np.array([t.label for t in train], dtype=np.int64),
        ids["test"],
        np.array([t.label for t in test], dtype=np.int64),
        test_mask=marked_places(test, "truth", width),
        train_mask=marked_places(train, "truth", width),
        truth_kind="model",
        interventions=tuple(change.intervention(test, vocabulary, width) for change in changes),
        facts=facts,
        tokens=vocabulary.tokens,
        **known,
    )
