"""Texts that carry nothing about a planted class: film snippets, or words drawn by Zipf's law."""

from __future__ import annotations

import io
import re
import tarfile
from functools import cache
from typing import Literal

import numpy as np

from xaibench.core.errors import DataError
from xaibench.datasets.fetch import read_fetched
from xaibench.datasets.splits import generator

Corpus = Literal["snippets", "zipf"]
"""``snippets``: 10,605 sentences of film reviews, which `xaibench data fetch movie_snippets` brings. ``zipf``: made-up
words, the k-th most frequent of 3,000 with a probability in proportion to 1 / k."""
SNIPPETS_ARCHIVE = "hutto_ICWSM_2014.tar.gz"
SNIPPETS_FILE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
WORD = re.compile(r"[a-z0-9']+|[^\sa-z0-9']")
"""A word of letters, digits and apostrophes, or any other single character."""
N_ZIPF_WORDS, N_ZIPF_TEXTS = 3000, 10000
ZIPF_LENGTHS = (7, 38)
"""Least and largest number of words of a made-up text; 90 % of the film snippets lie between."""


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case; other characters than letters, digits and apostrophes one by one.

    Examples
    --------
    >>> words_of("A fine film, isn't it?")
    ['a', 'fine', 'film', ',', "isn't", 'it', '?']
    """
    return WORD.findall(text.lower())


def read_corpus(name: Corpus) -> tuple[tuple[str, ...], ...]:
    """Every text of a corpus, as its words, in an order that never changes.

    Raises
    ------
    DataError
        If the film snippets were not fetched.
    """
    return film_snippets() if name == "snippets" else zipf_texts()


@cache
def film_snippets() -> tuple[tuple[str, ...], ...]:
    """The 10,605 film snippets in the collection of Hutto and Gilbert (2014), as words."""
    return tuple(tuple(words_of(text)) for text, _ in rated_snippets())


def rated_snippets() -> tuple[tuple[str, float], ...]:
    """The film snippets with the mean of 20 ratings from -4 to 4 (Hutto and Gilbert 2014).

    Raises
    ------
    DataError
        If they were not fetched.
    """
    content = read_fetched("movie_snippets", SNIPPETS_ARCHIVE)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        try:
            file = archive.extractfile(SNIPPETS_FILE)
        except KeyError:
            file = None
        if file is None:
            raise DataError(f"{SNIPPETS_ARCHIVE} holds no {SNIPPETS_FILE}", "fetch it again")
        text = file.read().decode("utf-8", errors="replace")
    rows = (line.split("\t") for line in text.splitlines())
    return tuple((row[2], float(row[1])) for row in rows if len(row) > 2)


@cache
def zipf_texts() -> tuple[tuple[str, ...], ...]:
    """Texts of made-up words: the same on every machine, and nothing to fetch."""
    rng = generator("corpus", "zipf")
    share = 1 / np.arange(1, N_ZIPF_WORDS + 1)
    names = [f"w{k}" for k in range(N_ZIPF_WORDS)]
    sizes = rng.integers(ZIPF_LENGTHS[0], ZIPF_LENGTHS[1] + 1, size=N_ZIPF_TEXTS)
    drawn = rng.choice(N_ZIPF_WORDS, size=int(sizes.sum()), p=share / share.sum())
    ends = np.cumsum(sizes)
    return tuple(tuple(names[k] for k in part) for part in np.split(drawn, ends[:-1]))
