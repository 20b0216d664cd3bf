"""Unfitted estimators of strings as recipes for texts: the ids of a data set are read as strings, and back."""

from __future__ import annotations

from typing import Any

from xaibench.core.errors import UsageError
from xaibench.core.tokens import Tokens, shown_words
from xaibench.core.types import Array


class TextsOfIds:
    """The first step of a fitted pipeline over token ids: texts as strings, words joined by a space.

    Parameters
    ----------
    tokens : Tokens
        With the names of the vocabulary.

    Raises
    ------
    UsageError
        If the vocabulary has no names.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> from xaibench.models.text_pipelines import TextsOfIds
    >>> TextsOfIds(xb.Tokens(["a", "fine", "film"])).transform(np.array([[0, 1, 2], [2, -1, -1]]))
    ['a fine film', 'film']
    """

    def __init__(self, tokens: Tokens | None) -> None:
        if tokens is None or isinstance(tokens.vocabulary, int | None):
            raise UsageError(
                "an estimator of strings needs the names of the vocabulary",
                "give Data(tokens=Tokens(vocabulary=[...]))",
            )
        self.tokens = tokens

    def fit(self, ids: Any = None, targets: Any = None) -> TextsOfIds:
        """Nothing is to be learned."""
        return self

    def transform(self, ids: Array) -> list[str]:
        """Strings of ids (N, L) or (N, W, P), -1 for what does not exist."""
        return [" ".join(shown_words(row, self.tokens)) for row in ids.astype(int)]


def fit_to_texts(estimator: Any, ids: Array, targets: Array, tokens: Tokens | None) -> Any:
    """An estimator of strings, such as a vectorizer and a classifier, fitted to texts: a pipeline that takes their ids.

    Parameters
    ----------
    estimator : unfitted estimator or pipeline
        Fitted in place.
    ids : array (N, L) or (N, W, P) of int
    targets : array (N,)
    tokens : Tokens or None
    """
    from sklearn.pipeline import Pipeline

    reader = TextsOfIds(tokens)
    fitted = estimator.fit(reader.transform(ids), targets)
    steps = list(getattr(fitted, "steps", [("model", fitted)]))
    return Pipeline([("texts_of_ids", reader), *steps])
