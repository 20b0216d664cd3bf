"""Real sentences with human ratings, as a pretrained transformer reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import PositiveInt

from xaibench.core.data import Data
from xaibench.core.data_registry import dataset
from xaibench.core.errors import UsageError
from xaibench.core.hugging_face import from_folder
from xaibench.core.storage.paths import cache_folder
from xaibench.core.text_readers import TokenizerReader
from xaibench.datasets.corpora import rated_snippets
from xaibench.datasets.fetch import require_fetched
from xaibench.datasets.splits import generator
from xaibench.datasets.texts import named_tokens

PRETRAINED = "minilm_l6"
"""Name of the pretrained transformer's card."""
CLEAR = 0.5
"""Least distance of a mean rating from neutral."""
HEAD_ACCURACY = 0.77
"""What a linear head on frozen features reaches at least, or the gate fails."""
MOST_WORDS = 128


def pretrained_folder() -> Path:
    """The folder of the pretrained transformer and its tokenizer, verified file by file.

    Raises
    ------
    DataError
        If it was not fetched, or a file is damaged.
    """
    require_fetched(PRETRAINED)
    return cache_folder() / "datasets" / PRETRAINED


@dataset("film_opinions", features="tokens", version=1)
def film_opinions(*, seed: int, n_train: PositiveInt = 2400, n_test: PositiveInt = 600) -> Data:
    """Is a film praised or panned? Sentences that 20 people rated clearly, by words of a pretrained transformer.

    Needs `xaibench data fetch movie_snippets` and `xaibench data fetch minilm_l6`. Ratings from -4 to 4 are averaged
    over people; sentences nearer to neutral than .5 are left out. Nothing is known about which words matter:
    faithfulness, robustness and sanity can be measured, truth cannot.

    Parameters
    ----------
    seed : int
        Draws the sentences.
    n_train, n_test : int

    Raises
    ------
    UsageError
        If there are not so many sentences.
    DataError
        If the sentences or the tokenizer were not fetched.
    """
    tokenizer = from_folder("AutoTokenizer", str(pretrained_folder()))
    size = len(tokenizer)
    reader = TokenizerReader(tokenizer, "word", MOST_WORDS, size)
    clear = [(text, rating > 0) for text, rating in rated_snippets() if abs(rating) >= CLEAR and text.strip()]
    order = generator("film_opinions", seed).permutation(len(clear))
    if n_train + n_test > len(clear):
        raise UsageError(f"n_train + n_test is {n_train + n_test}, and there are {len(clear)} sentences")
    chosen = [clear[i] for i in order[: n_train + n_test]]
    ids = reader.read([text for text, _ in chosen], "the film snippets").astype(np.int32)
    labels = np.array([good for _, good in chosen], dtype=np.int64)
    return Data(
        "tokens",
        ids[n_test:],
        labels[n_test:],
        ids[:n_test],
        labels[:n_test],
        class_names=("bad", "good"),
        tokens=named_tokens(reader.tokens, tokenizer, size),
        accuracy_floor=HEAD_ACCURACY,
        facts={"pretrained": PRETRAINED},
    )
