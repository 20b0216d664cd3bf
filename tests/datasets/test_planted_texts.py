"""Texts with planted words: what is true of them, and whether the gates know a model of which it is not true."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xaibench.core import registry
from xaibench.core.checks import accuracy, measure_gates
from xaibench.core.data import Data
from xaibench.core.errors import DataError, UsageError
from xaibench.core.token_predictor import TokenIdPredictor
from xaibench.datasets.planted_texts import closed_up
from xaibench.datasets.text_shortcuts import DECOYS
from xaibench.datasets.text_templates import LEXICON, RELATIVES, SUBJECTS, lexicon_pairs

SMALL = {"n_train": 400, "n_test": 200}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("text_shortcuts", {"kind": "single", "corpus": "zipf"}),
    ("text_shortcuts", {"kind": "context", "corpus": "zipf"}),
    ("text_shortcuts", {"kind": "order", "corpus": "zipf"}),
    ("gender_templates", {"evidence": "subject"}),
    ("gender_templates", {"evidence": "all"}),
    ("monotonicity_templates", {}),
]
every = pytest.mark.parametrize(
    ("name", "params"), CASES, ids=lambda v: "-".join(v.values()) if isinstance(v, dict) else v
)
Rule = Callable[[list[str]], float]
"""From the words of a text to the probability of class 1."""


@functools.cache
def _made(name: str, params: tuple[tuple[str, Any], ...], seed: int = 3) -> Data:
    found: Data = registry.get("dataset", name).function(seed=seed, **dict(params))
    return found


def made(name: str, params: dict[str, Any], **more: Any) -> Data:
    return _made(name, tuple({**params, **SMALL, **more}.items()))


def words(data: Data, ids: np.ndarray) -> list[str]:
    assert data.tokens is not None
    return [data.tokens.vocabulary[i] for i in ids if i >= 0]


def model(data: Data, rule: Rule) -> TokenIdPredictor:
    def predict(ids: np.ndarray) -> np.ndarray:
        p = np.array([rule(words(data, row)[len(data.tokens.prefix) :]) for row in ids])
        return np.stack([1 - p, p], axis=1)

    return TokenIdPredictor(predict, data.tokens, "probability")


def shortcut(kind: str) -> Rule:
    """The rule of a shortcut, which says nothing where a word of it is missing."""

    def single(text: list[str]) -> float:
        return 1.0 if "<a1>" in text else 0.0 if "<a0>" in text else 0.5

    def order(text: list[str]) -> float:
        return float(text.index("<q>") < text.index("<p>")) if {"<p>", "<q>"} <= set(text) else 0.5

    def context(text: list[str]) -> float:
        letter = "a" if "<c>" in text else "b" if "<d>" in text else None
        return next((float(word[2]) for word in text if letter and word.startswith(f"<{letter}")), 0.5)

    return {"single": single, "order": order, "context": context}[kind]


def gender(text: list[str], places: tuple[int, ...]) -> float:
    women = {*SUBJECTS[0], *RELATIVES[0]}
    known = [float(text[i] not in women) for i in places if text[i] in {*women, *SUBJECTS[1], *RELATIVES[1]}]
    return float(np.mean(known) > 0.5) if known else 0.5


ABOVE = {pair for level in lexicon_pairs() for pair in level}


def monotonicity(text: list[str]) -> float:
    pair = (text[7], text[13])
    if text[0] not in ("some", "no") or not {pair, pair[::-1]} & ABOVE:
        return 0.5
    return float((pair in ABOVE) ^ (text[0] == "no"))


def rule_of(name: str, params: dict[str, Any]) -> Rule:
    if name == "text_shortcuts":
        return shortcut(params["kind"])
    if name == "monotonicity_templates":
        return monotonicity
    places = (1,) if params["evidence"] == "subject" else (1, 4, 9)
    return lambda text: gender(text, places)


def gates(data: Data, rule: Rule) -> dict[str, bool]:
    predictor = model(data, rule)
    score = accuracy(predictor, data.test_inputs, data.test_targets)
    return {gate.name: gate.passed for gate in measure_gates(data, predictor, score).gates}


@every
def test_the_rule_itself_passes_every_gate(name: str, params: dict[str, Any]) -> None:
    data = made(name, params)
    found = gates(data, rule_of(name, params))
    assert all(found.values()), found
    assert len(found) >= 5


@every
def test_what_is_true_decides_and_nothing_else(name: str, params: dict[str, Any]) -> None:
    """Without a true word the rule says nothing (of redundant words: without all); without others it stays."""
    data, rule = made(name, params), rule_of(name, params)
    redundant = params.get("evidence") == "all"
    for ids, mask, label in zip(data.test_inputs[:60], data.test_mask[:60], data.test_targets[:60], strict=True):
        text = words(data, ids)
        assert rule(text) == label
        places = np.flatnonzero(mask)
        for place in range(len(text)):
            hidden = rule([*text[:place], "[MASK]", *text[place + 1 :]])
            assert hidden == (0.5 if place in places and not redundant else label)
        assert rule(["[MASK]" if mask[i] else word for i, word in enumerate(text)]) == 0.5


@every
def test_models_of_which_the_truth_is_false_fail(name: str, params: dict[str, Any]) -> None:
    data, rule = made(name, params), rule_of(name, params)

    def default(text: list[str]) -> float:
        """Class 1 is what is left where there is no evidence of class 0: exchanges of words do not show it."""
        p = rule(text)
        return 1.0 if p == 0.5 else p

    found = gates(data, default)
    assert not found["|p - 1/2|, truth masked"]
    assert not found["|mean p of a class - 1/2|, truth masked"]
    followed = {gate: passed for gate, passed in found.items() if gate.startswith("accuracy")}
    assert all(followed.values()), "only the check without the truth tells"
    by_heart = {tuple(words(data, ids)): int(y) for ids, y in zip(data.test_inputs, data.test_targets, strict=True)}
    found = gates(data, lambda text: by_heart.get(tuple(text), 0.5))
    assert found["accuracy"]
    assert sum(not passed for passed in found.values()) >= 2


def test_a_model_that_reads_the_distractor_fails() -> None:
    data = made("text_shortcuts", CASES[1][1])
    rule = shortcut("context")

    def swayed(text: list[str]) -> float:
        return 1.0 if "<b1>" in text else rule(text)

    found = gates(data, swayed)
    assert not found["accuracy, distractor exchanged"]
    assert not found["accuracy"]


@pytest.mark.parametrize("kind", ["single", "context", "order"])
def test_shortcuts_are_planted_as_described(kind: str) -> None:
    data = made("text_shortcuts", {"kind": kind, "corpus": "zipf"})
    assert data.truth_kind == "model"
    true = {"single": 1, "context": 2, "order": 2}[kind]
    assert (data.test_mask.sum(axis=1) == true).all()
    assert not (data.test_mask & (data.test_inputs < 0)).any()
    if kind == "context":
        assert (data.test_distractors.sum(axis=1) == 1).all()
        assert not (data.test_distractors & data.test_mask).any()
    counts = [[text.count(decoy) for decoy in DECOYS] for text in (words(data, ids) for ids in data.test_inputs)]
    assert (np.sum(counts, axis=1) == 2).all()
    assert np.max(counts) == 1
    # Labels are coins, and so are places.
    assert 0.4 < data.test_targets.mean() < 0.6
    row, place = np.nonzero(data.test_mask)
    thirds = np.histogram(place / (data.test_inputs >= 0).sum(axis=1)[row], bins=3, range=(0, 1))[0]
    assert thirds.min() > 0.2 * len(row)
    # Three training texts in ten say nothing, by soft targets and by what is in them.
    soft = data.facts["train_probabilities"]
    neutral = (soft == 0.5).all(axis=1)
    assert 0.2 < neutral.mean() < 0.4
    rule = shortcut(kind)
    for ids, wanted, mask in zip(data.train_inputs, soft, data.train_mask, strict=True):
        assert rule(words(data, ids)) == wanted[1]
        assert mask.any() == (wanted[1] != 0.5)


def test_decoys_are_as_frequent_as_what_is_planted() -> None:
    data = made("text_shortcuts", CASES[0][1])
    counts = np.bincount(data.train_inputs[data.train_inputs >= 0], minlength=data.tokens.size)
    by_word = dict(zip(data.tokens.vocabulary, counts, strict=True))
    planted, decoys = [by_word["<a0>"], by_word["<a1>"]], [by_word[decoy] for decoy in DECOYS]
    assert min(decoys) > max(planted)
    without = made("text_shortcuts", CASES[0][1], decoys=False)
    assert not set(DECOYS) & set(without.tokens.vocabulary)


def test_other_seeds_are_other_texts_and_the_same_seed_is_the_same() -> None:
    function = registry.get("dataset", "monotonicity_templates").function
    first, again, other = (function(seed=seed, **SMALL) for seed in (3, 3, 4))
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_middle_words_of_the_lexicon_are_in_both_roles() -> None:
    low, high = ({pair[i] for level in lexicon_pairs() for pair in level} for i in (0, 1))
    assert low & high == {middle for below in LEXICON.values() for middle in below}


def test_no_test_sentence_is_among_those_for_training() -> None:
    for name, params in CASES[3:]:
        data = made(name, params)
        train = {ids.tobytes() for ids in data.train_inputs}
        assert not train & {ids.tobytes() for ids in data.test_inputs}


def test_what_is_left_of_a_text_closes_up() -> None:
    ids = np.array([[5, 6, 7, 8], [5, 6, -1, -1]])
    gone = np.array([[True, False, True, False], [False, True, False, False]])
    assert closed_up(ids, gone).tolist() == [[6, 8, -1, -1], [5, -1, -1, -1]]


def test_bad_requests_are_one_sentence(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = registry.get("dataset", "text_shortcuts")
    with pytest.raises(UsageError, match="there are 10000 texts"):
        spec.function(seed=0, corpus="zipf", n_train=20000)
    from xaibench.datasets.corpora import film_snippets

    monkeypatch.setenv("XAIBENCH_CACHE", str(tmp_path))
    film_snippets.cache_clear()
    with pytest.raises(DataError, match="not in the cache") as caught:
        spec.function(seed=0)
    assert "data fetch movie_snippets" in (caught.value.hint or "")
