"""Texts for programs that were compiled to transformers, asked about one place; which tokens are necessary is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.gates import Findings, Gate
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.tokens import NO_TOKEN, Tokens
from xaibench.core.types import Array
from xaibench.datasets.cards import card, read_shipped
from xaibench.datasets.splits import generator
from xaibench.datasets.tracr_programs import (
    CHANGED,
    TRACR_PROGRAMS,
    Text,
    TracrName,
    TracrProgram,
    changed,
    differs,
    is_redundant,
    necessary,
    read_tracr,
)

BOS = "BOS"
ALL = 0.999
"""Least share of exchanges of one letter that have the program's effect: all of them, up to rounding."""


@dataset("tracr", features="tokens", provides={"truth.mask"}, version=1)
def tracr(*, seed: int, program: TracrName = "reverse", n_train: PositiveInt = 300, n_test: PositiveInt = 100) -> Data:
    """Short texts, and the place that is asked about, for a program in a compiled transformer (Lindner et al. 2023).

    Each text is asked about one place, which goes to the model `tracr_transformer` beside the text. The class is the
    letter that the program has there; of ``frac_prevs`` it is a number. The truth are the tokens that are *necessary*:
    some other letter that keeps to the program's domain changes the output (a number, by more than .1). Leaving out
    one token at a time asks just this. Texts in which all or no tokens are necessary are not drawn, and none in which
    two exchanges at once change the output that each alone leaves as it is.

    Parameters
    ----------
    seed : int
    program : {"shift", "reverse", "after_marker", "induction", "sort_unique", "frac_prevs"}
    n_train, n_test : int

    Notes
    -----
    Programs, vocabularies and the way to the weights are on the card of the data set; the truth is checked on the
    model, exchange by exchange, as a gate.
    """
    for file in card("tracr").files:
        read_shipped("tracr", file)
    net, known = read_tracr(program), TRACR_PROGRAMS[program]
    words = [str(word) for word in net["vocabulary"]]
    rng = generator("tracr", program, seed)
    drawn = [_draw(known, rng) for _ in range(n_test + n_train)]
    classes = {str(value): number for number, value in enumerate(net["values"])}
    numerical = len(classes) == 1
    outputs = [known.output(text, place) for text, place in drawn]
    targets = np.array([0 if numerical else classes[str(out)] for out in outputs], dtype=np.int64)
    ids, width = ids_of([text for text, _ in drawn], words), max(known.lengths)
    places = np.array([place for _, place in drawn], dtype=np.int64)
    mask = np.zeros((n_test, width), dtype=bool)
    for row, (text, place) in zip(mask, drawn[:n_test], strict=True):
        row[necessary(known, text, place)] = True
    more: dict[str, Any] = {}
    if numerical:
        values = np.array(outputs, dtype=np.float32)
        more = {"train_values": values[n_test:], "test_values": values[:n_test]}
    return Data(
        "tokens",
        ids[n_test:],
        targets[n_test:],
        ids[:n_test],
        targets[:n_test],
        class_names=("value",) if numerical else tuple(classes),
        test_mask=mask,
        accuracy_floor=ALL,
        facts={"program": program},
        checks=(AgreesWithProgram(program),),
        tokens=Tokens(words, prefix=(words.index(BOS),)),
        train_context={"place": places[n_test:]},
        test_context={"place": places[:n_test]},
        **more,
    )


def ids_of(texts: list[Text], words: list[str]) -> Array:
    """Ids (N, L) of int32 of texts, -1 behind the end."""
    found: Array = np.full((len(texts), max(map(len, texts))), NO_TOKEN, dtype=np.int32)
    for row, text in zip(found, texts, strict=True):
        row[: len(text)] = [words.index(letter) for letter in text]
    return found


def _draw(program: TracrProgram, rng: np.random.Generator) -> tuple[Text, int]:
    """A text and a place to ask about, for which single exchanges tell which tokens are necessary."""
    while True:
        text = program.draw(int(rng.choice(program.lengths)), rng)
        asked = program.asked(text)
        place = asked[int(rng.integers(len(asked)))]
        truth = necessary(program, text, place)
        if 0 < len(truth) < len(text) and not is_redundant(program, text, place, truth):
            return text, place


@dataclass(frozen=True)
class AgreesWithProgram:
    """Whether the model does what the program says when one letter of a test text is exchanged.

    It must change its output, by more than .1, exactly where the program does.

    Attributes
    ----------
    program : str
    """

    program: str

    @property
    def identity(self) -> list[Any]:
        return ["agrees with program", 1, self.program]

    def measure(self, model: Predictor, data: Data) -> Findings:
        """Every valid exchange of one letter in every test text."""
        assert data.tokens is not None
        known, words = TRACR_PROGRAMS[self.program], [str(word) for word in read_tracr(self.program)["vocabulary"]]
        texts = [tuple(words[i] for i in row if i != NO_TOKEN) for row in data.test_inputs]
        places = data.test_context["place"]
        rows, others, moved = [], [], []
        for row, (text, place) in enumerate(zip(texts, places.tolist(), strict=True)):
            output = known.output(text, place)
            for i in range(len(text)):
                for letter in known.exchanges(text, i):
                    other = changed(text, {i: letter})
                    rows.append(row)
                    others.append(other)
                    moved.append(differs(output, known.output(other, place)))
        clean = self._outputs(model, data, data.test_inputs, np.arange(len(texts)))
        found = self._outputs(model, data, ids_of(others, words), np.array(rows))
        as_said = (np.abs(found - clean[rows]) > CHANGED) == np.array(moved)
        gate = Gate("exchanges of a letter with the program's effect", float(as_said.mean()), ALL)
        return Findings((gate,))

    def _outputs(self, model: Predictor, data: Data, ids: Array, rows: Array) -> Array:
        """The output dimension of the class of a test text (or its number), of texts that came from it."""
        raw = predict_raw(model, ids, {"place": data.test_context["place"][rows]})
        found: Array = raw[torch.arange(len(rows)), torch.from_numpy(data.test_targets[rows])].cpu().numpy()
        return found
