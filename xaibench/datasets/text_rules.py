"""Texts for rules with closed forms: scores of words that are summed, averaged, or mixed by one attention layer."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.tokens import NO_TOKEN, Tokens
from xaibench.datasets.splits import generator

Rule = Literal["sum", "mean", "attention"]
PAD, MASK = 0, 1
"""Ids of the symbols; their vectors are 0."""


@dataset("text_rules", features="tokens", provides={"truth.mask"}, version=1)
def text_rules(
    *,
    seed: int,
    rule: Rule = "sum",
    n_words: Annotated[int, Ge(4)] = 40,
    least: Annotated[int, Ge(2)] = 5,
    most: Annotated[int, Ge(2)] = 10,
    n_train: PositiveInt = 200,
    n_test: PositiveInt = 300,
) -> Data:
    """Random texts, and a vector for every word, from which the model `text_rule` computes its output.

    - *sum* and *mean*: every other word has a score of N(0, 1), and the others have 0 and are idle. The truth of a text
      are the words with a score.
    - *attention*: every word has a key and a value of N(0, 1), and the output is the mean of the values under the
      softmax of the keys. Every word matters, so that the truth is everything.

    Labels are the sign of the output. The closed forms are on docs/suites/text_closed_forms.md; xaibench's own
    definition.

    Parameters
    ----------
    seed : int
    rule : {"sum", "mean", "attention"}
    n_words : int
        Without the two symbols.
    least, most : int
        Words of a text.
    n_train, n_test : int
    """
    rng = generator("text_rules", rule, seed)
    vectors = np.zeros((2 + n_words, 2), dtype=np.float32)
    vectors[2:] = rng.standard_normal((n_words, 2))
    if rule != "attention":
        vectors[:, 0] = 0
        vectors[2::2, 1] = 0
    n = n_train + n_test
    ids = np.full((n, max(least, most)), NO_TOKEN, dtype=np.int32)
    for row, size in zip(ids, rng.integers(min(least, most), max(least, most) + 1, size=n), strict=True):
        row[:size] = 2 + rng.integers(n_words, size=size)
    there = ids != NO_TOKEN
    keys, values = (np.where(there, vectors[ids, i].astype(np.float64), 0) for i in range(2))
    weights = np.where(there, np.exp(keys), 0) if rule == "attention" else there.astype(float)
    shares = weights / weights.sum(axis=1, keepdims=True)
    output = values.sum(axis=1) if rule == "sum" else (shares * values).sum(axis=1)
    labels, mask = (output > 0).astype(np.int64), there & ((vectors[ids, 1] != 0) | (rule == "attention"))
    return Data(
        "tokens",
        ids[n_test:],
        labels[n_test:],
        ids[:n_test],
        labels[:n_test],
        class_names=("negative", "positive"),
        test_mask=mask[:n_test],
        accuracy_floor=0.99,
        facts={"rule": rule, "vectors": vectors},
        tokens=Tokens(["[PAD]", "[MASK]", *(f"w{i}" for i in range(n_words))], pad=PAD, mask=MASK),
    )
