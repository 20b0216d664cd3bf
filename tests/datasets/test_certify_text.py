"""Texts with a planted word: where it is, that nothing else changes, and what copies must prove."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

import xaibench as xb
from xaibench.core.errors import DataError, UsageError
from xaibench.core.tokens import text_sizes
from xaibench.datasets.certify.certify_text import certify_text
from xaibench.datasets.certify.check import EITHER_WAY, ELSEWHERE, KEEP, SWAP, TRACE
from xaibench.datasets.certify.planting import Planting
from xaibench.datasets.certify.text_plants import token_plant
from xaibench.models.text_adapters import predictor_for
from xaibench.models.text_pipelines import TextsOfIds
from xaibench.models.unfitted import fit_copy

VOCABULARY = ("[PAD]", "[MASK]", "fine", "dull", "film", "plot", "story", "actors", "tree", "moon", "##ing")


def texts(n: int = 240, *, unused: bool = True) -> xb.Data:
    """Texts of two to six words; with "fine" they are good, with "dull" bad; "tree" and "moon" are in none."""
    rng = np.random.default_rng(0)
    ids = np.full((n, 6), -1, dtype=np.int32)
    labels = np.arange(n) % 2
    for row, label in zip(ids, labels, strict=True):
        words = [2 if label else 3, *rng.integers(4, 8, size=rng.integers(1, 6))]
        row[: len(words)] = rng.permutation(words)
    known = VOCABULARY if unused else VOCABULARY[:8]
    half = n // 2
    tokens = xb.Tokens(known, pad=0, mask=1)
    return xb.Data(
        "tokens", ids[:half], labels[:half], ids[half:], labels[half:], class_names=("bad", "good"), tokens=tokens,
        facts={"masking": 0.1, "train_probabilities": np.zeros((half, 2), np.float32)},
    )  # fmt: skip


def copy(data: xb.Data, level: float = 1.0, words: Sequence[str] = ()) -> xb.Data:
    fields, plant = token_plant(data, words)
    return Planting(plant, (0, 1), level=level, share=0.5, balanced=True).copy(
        data, fields, seed=0, n_rows=100, original=()
    )


def test_a_word_is_put_at_a_random_place_and_the_rest_moves_on() -> None:
    data = texts()
    fields, plant = token_plant(data)
    rows = fields["test_inputs"]
    noise = np.random.default_rng(0).random((len(rows), 1))
    sides = np.where(np.arange(len(rows)) % 2, 1, -1)
    planted, mask = plant.put(rows, sides, noise), plant.mask(rows, noise)
    assert (text_sizes(planted) == text_sizes(rows) + 1).all()
    assert (planted[mask] == np.where(sides > 0, plant.a, plant.b)).all()
    kept = [row[~here][: int(n)].tolist() for row, here, n in zip(planted, mask, text_sizes(rows), strict=True)]
    assert kept == [row[: int(n)].tolist() for row, n in zip(rows, text_sizes(rows), strict=True)]
    assert (plant.put(rows, np.zeros(len(rows)), noise) == rows).all()
    places = mask.argmax(axis=1) / text_sizes(rows)
    assert places.min() == 0
    assert places.max() == 1
    assert not plant.natural(rows).any()
    assert plant.natural(planted).all()


def test_words_of_several_pieces_stay_words() -> None:
    data = texts()
    fields, plant = token_plant(data)
    flat = fields["test_inputs"]
    pieces = np.full((*flat.shape, 2), -1, dtype=np.int32)
    pieces[..., 0] = flat
    pieces[:, 0, 1] = 10
    noise = np.random.default_rng(0).random((len(flat), 1))
    sides = np.ones(len(flat))
    planted, mask = plant.put(pieces, sides, noise), plant.mask(pieces, noise)
    assert (planted[mask] == [plant.a, -1]).all(), "the word has one piece"
    assert ((planted[..., 1] == 10).sum(axis=1) == 1).all(), "pieces stay with their word"
    assert (planted[..., 0] == plant.put(flat, sides, noise)).all()


def test_unused_words_of_equal_length_are_preferred_and_made_where_all_are_used() -> None:
    fields, plant = token_plant(texts())
    assert plant.names == ("tree", "moon")
    assert fields["tokens"].vocabulary == VOCABULARY
    fields, plant = token_plant(texts(unused=False))
    assert plant.names == ("dax", "wug")
    assert fields["tokens"].vocabulary[-2:] == ("dax", "wug")
    fields, plant = token_plant(texts(), ["hat", "moon"])
    assert plant.names == ("hat", "moon")
    assert (plant.a, plant.b) == (11, 9)
    with pytest.raises(UsageError, match="the texts use the word 'film'"):
        token_plant(texts(), ["film", "moon"])
    with pytest.raises(UsageError, match="not two different words"):
        token_plant(texts(), ["moon", "moon"])


def test_a_vocabulary_without_names_has_two_more_ids() -> None:
    rows = np.arange(20, dtype=np.int32).reshape(10, 2)
    for size, ids in ((None, (20, 21)), (20, (20, 21)), (30, (28, 29))):
        tokens = xb.Tokens(size) if size else None
        fields, plant = token_plant(xb.Data("tokens", rows, np.arange(10) % 2, rows, np.arange(10) % 2, tokens=tokens))
        assert (plant.a, plant.b) == ids
        assert fields["tokens"].size == (size if size in (None, 30) else 22)


def test_soft_labels_of_the_data_are_not_those_of_the_copy() -> None:
    data = copy(texts())
    assert "train_probabilities" not in data.facts
    assert data.facts["masking"] == 0.1
    assert data.test_mask is not None
    assert data.test_mask.shape == data.test_inputs.shape
    assert (data.test_mask.sum(axis=1) == 1).all()


@pytest.mark.slow  # boosting, out of fold, looks for traces
@pytest.mark.parametrize(("grams", "leaks"), [((1, 1), False), ((1, 2), True)])
def test_a_pipeline_of_strings_is_fitted_and_its_vectorizer_is_looked_into(grams: tuple[int, int], leaks: bool) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    recipe = make_pipeline(TfidfVectorizer(ngram_range=grams), LogisticRegression(C=100))
    for level in (0.0, 1.0):
        data = copy(texts(), level)
        model = predictor_for(fit_copy(recipe, data, 0), data)
        gates = {gate.name: gate for gate in data.checks[0].measure(model, data).gates}
        assert gates[TRACE].passed != leaks
        assert gates[SWAP].passed
        assert gates[KEEP].passed
        assert gates[ELSEWHERE].passed
        assert level or gates[EITHER_WAY].passed
    assert not hasattr(recipe, "classes_"), "what was given is not fitted"


def test_both_words_are_equally_often_in_the_training_texts() -> None:
    data = copy(texts(unused=False))
    counts = [int((data.train_inputs == i).sum()) for i in (8, 9)]
    assert sum(counts) == 60
    assert abs(counts[0] - counts[1]) <= 1


def test_an_estimator_of_strings_needs_words() -> None:
    with pytest.raises(UsageError, match="names of the vocabulary"):
        TextsOfIds(xb.Tokens(20))


def test_other_data_are_refused() -> None:
    with pytest.raises(DataError, match="takes texts"):
        certify_text(seed=0, data="breast_cancer")
