"""Words that could stand in the place of those of a text, with their probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.language_models import pieces_of
from xaibench.core.masking.tokens import fitting_words
from xaibench.core.problem import ProblemView
from xaibench.core.token_predictor import TokenPredictor

_NOTHING = torch.finfo(torch.float32).max
"""Stands for NaN where rows are compared."""


def candidate_words(view: ProblemView, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The most probable words for every place of the one text of a view.

    By the model's masked language model given the rest of the text, else by how often they are in the background;
    of words, those with at most as many pieces as the one that stands there.

    Returns
    -------
    Tensor (K,) of int64
        Places.
    Tensor (K,), float64
        Probabilities, which sum to 1 for every place.
    Tensor (K, *slot)
        Numbers of the words; NaN for pieces that do not exist.
    """
    model = view.model
    if isinstance(model, TokenPredictor) and model.language_model is not None and "ids" in view.context:
        return _by_language_model(view, model, most)
    if view.pool is None:
        raise UnsupportedError(
            "words are marginalised by a language model or by the background, and there is neither",
            "pass background=, texts, or make the model by xb.text_model(..., mlm=)",
        )
    return _by_frequency(view, view.pool.to(view.inputs), most)


def _by_language_model(view: ProblemView, model: TokenPredictor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    assert model.language_model is not None
    live = view.context.get("live")
    pieces = pieces_of(view.context["ids"][0], None if live is None else live[0])
    weights, ids = model.language_model.probabilities(pieces).topk(min(most, len(model.table)), dim=1)
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(view.inputs.device)
    n, k = ids.shape
    slot = view.inputs.shape[2:]
    words = torch.full((n * k, *slot), torch.nan, dtype=view.inputs.dtype, device=view.inputs.device)
    words.view(n * k, -1, slot[-1])[:, 0] = model.embedded(ids.flatten()).to(words)
    return torch.arange(n, device=words.device).repeat_interleave(k), weights.flatten(), words


def _by_frequency(view: ProblemView, pool: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    inputs, slot = view.inputs[0], view.layout.slot
    if slot == 2:
        pool = fitting_words(pool, inputs.shape[1])
        live = view.context.get("live")
        own = (~torch.isnan(inputs[..., 0]) if live is None else live[0]).sum(dim=1)
    distinct, counts = torch.unique(pool.nan_to_num(_NOTHING), dim=0, return_counts=True)
    distinct = torch.where(distinct == _NOTHING, torch.nan, distinct)
    order = counts.argsort(descending=True, stable=True)
    distinct, counts = distinct[order], counts[order].double()
    if slot == 1:
        found = [torch.arange(min(most, len(distinct)), device=inputs.device)] * len(inputs)
    else:
        size = (~torch.isnan(distinct[..., 0])).sum(dim=1)
        found = [(size <= n).nonzero().squeeze(1)[:most] for n in own]
        if min(map(len, found)) == 0:
            raise UnsupportedError("the background has no word with as few pieces as every word has")
    places = torch.cat([torch.full_like(chosen, place) for place, chosen in enumerate(found)])
    weights = torch.cat([counts[chosen] / counts[chosen].sum() for chosen in found])
    return places, weights, distinct[torch.cat(found)]
