"""Placebos of texts: what they are, and that only suites over texts have them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from helpers.text_cases import TOKENS, Transformer, table, texts, transformer, words

import xaibench as xb
from xaibench import suite as suites
from xaibench.core.errors import UnsupportedError
from xaibench.core.token_predictor import TokenPredictor
from xaibench.plan import expand

TEXTS, BACKGROUND = texts(), texts(9, seed=5)
CONTROLS = {"embedding_norm", "token_frequency", "token_position"}


def explain(name: str, **params: object) -> np.ndarray:
    found: np.ndarray = xb.explain(name, model=transformer(), inputs=TEXTS, background=BACKGROUND, **params)
    return found


def test_the_norm_is_that_of_the_table() -> None:
    norms = table().norm(dim=1).numpy()
    for row, text in zip(explain("embedding_norm"), TEXTS, strict=True):
        np.testing.assert_allclose(row[: len(text)], norms[text], rtol=2e-6)


def test_vectors_of_one_length_are_all_alike() -> None:
    net = TokenPredictor(Transformer(), torch.nn.functional.normalize(table(), dim=1), TOKENS)
    found = xb.explain("embedding_norm", model=net, inputs=TEXTS)
    for row, text in zip(found, TEXTS, strict=True):
        assert (row[: len(text)] == row[0]).all()


def test_the_norm_of_a_word_is_that_of_all_its_pieces() -> None:
    given = words()
    found = xb.explain("embedding_norm", model=transformer(), inputs=given)
    vectors = table().numpy()
    for row, pieces in zip(found, given, strict=True):
        for value, word in zip(row, pieces, strict=True):
            live = word[word >= 0]
            if len(live):
                assert value == pytest.approx(np.sqrt(np.square(vectors[live]).sum()), rel=2e-6)


def test_frequencies_are_counts_in_the_reference_texts() -> None:
    counts = Counter(i for text in BACKGROUND for i in text)
    total = sum(counts.values())
    common, rare = explain("token_frequency"), explain("token_frequency", rare=True)
    for row, other, text in zip(common, rare, TEXTS, strict=True):
        np.testing.assert_allclose(row[: len(text)], [counts[i] / total for i in text], rtol=2e-6)
        np.testing.assert_allclose(other[: len(text)], [1 - counts[i] / total for i in text], rtol=2e-6)


def test_frequencies_of_words_are_those_of_all_their_pieces() -> None:
    given, reference = words(), words(12, seed=1)[:, :, :2]
    kinds = Counter(tuple(word[word >= 0]) for text in reference for word in text if word[0] >= 0)
    total = sum(kinds.values())
    found = xb.explain("token_frequency", model=transformer(), inputs=given, background=reference)
    for row, text in zip(found, given, strict=True):
        for value, word in zip(row, text, strict=True):
            if word[0] >= 0:
                assert value == pytest.approx(kinds[tuple(word[word >= 0])] / total)


def test_positions_run_from_the_beginning_or_the_end() -> None:
    for row, other, text in zip(explain("token_position"), explain("token_position", last=True), TEXTS, strict=True):
        n = len(text)
        np.testing.assert_allclose(row[:n], np.arange(n, 0, -1) / n, rtol=2e-6)
        np.testing.assert_allclose(other[:n], np.arange(1, n + 1) / n, rtol=2e-6)


def test_other_data_have_no_such_placebos() -> None:
    x = np.zeros((2, 3), np.float32)
    for name in CONTROLS:
        with pytest.raises(UnsupportedError, match="text"):
            xb.explain(name, model=lambda a: a, inputs=x)


def test_only_suites_over_texts_have_them() -> None:
    assert not CONTROLS & {unit.explainer.spec.name for unit in expand(suites.load("quick"))}
    assert {unit.explainer.spec.name for unit in expand(suites.load("text_templates"))} >= CONTROLS
