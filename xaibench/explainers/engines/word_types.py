"""Which words of a text are the same word."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.problem import ProblemView
from xaibench.core.token_predictor import TokenIdPredictor, TokenPredictor


def types_of_words(view: ProblemView) -> list[str]:
    """A name for every feature of the one text of a view; equal names are the same word.

    As a reader sees them, where the model reads strings: the same with or without a space before it, in whatever
    pieces. Without a tokenizer, words are the same if the model's inputs for them are.
    """
    rows = view.inputs[0].reshape(view.layout.n_features, -1)
    model = view.model
    if isinstance(model, TokenIdPredictor | TokenPredictor) and model.reader is not None:
        pieces = rows if isinstance(model, TokenIdPredictor) else _ids(view, model)
        if bool((pieces.nan_to_num(0.0) >= 0).all()):
            return [model.reader.shown([int(i) for i in word if not torch.isnan(i)]) for word in pieces]
    return [row.detach().cpu().numpy().tobytes().hex() for row in rows]


def _ids(view: ProblemView, model: TokenPredictor) -> Tensor:
    """Ids of the pieces of every word (n, P), NaN for pieces that do not exist: the rows of the table that they are."""
    n = view.layout.n_features
    table = model.table.to(view.inputs)
    vectors = view.inputs[0].reshape(-1, table.shape[1])
    live = view.context.get("live")
    there = ~torch.isnan(vectors[:, 0]) if live is None else live[0].flatten()
    found = torch.full((len(vectors),), torch.nan, dtype=torch.float64)
    for place in there.nonzero().squeeze(1).tolist():
        near = (table[:, 0] == vectors[place, 0]).nonzero().squeeze(1)
        same = near[(table[near] == vectors[place]).all(dim=1)]
        found[place] = float(same[0]) if len(same) else -1.0
    return found.view(n, -1)
