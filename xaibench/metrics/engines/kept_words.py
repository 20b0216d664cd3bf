"""Texts of which only some words are left, chosen by the explanations of a data set of texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from xaibench.core.data import Data
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.retraining import variant
from xaibench.core.tokens import NO_TOKEN, Tokens
from xaibench.core.types import Array
from xaibench.metrics.engines.explained_rows import Targets, chosen_rows, explained, retraining_of

Selected = Literal["kept", "removed"]
_LESSONS = ("masking", "neutral_without")
"""Facts about a training that hides words; what is left of a text here is not hidden again."""


def data_of_selected_words(
    ev: Evaluation, selected: Selected, share: float, target: Targets, max_train: int, max_test: int
) -> Data | None:
    """The data set with only the words of the largest attributions, or without them; the others are deleted.

    Returns
    -------
    Data or None
        None if an attribution is not finite.
    """
    data = retraining_of(ev).data
    if not data.has_ids or data.train_inputs.ndim != 2:
        raise UnsupportedError("words are selected in texts of token ids, one id for each word")
    parts = {}
    for split, limit in (("train", max_train), ("test", max_test)):
        part = explained(ev, split, limit, target)  # type: ignore[arg-type]
        if not bool(torch.isfinite(part.attributions).all()):
            return None
        parts[split] = _selected(part, selected, share)
    train, test = chosen_rows(len(data.train_targets), max_train), chosen_rows(len(data.test_targets), max_test)
    found = variant(
        data,
        train_inputs=parts["train"],
        train_targets=data.train_targets[train],
        test_inputs=parts["test"],
        test_targets=data.test_targets[test],
        train_context={name: values[train] for name, values in data.train_context.items()},
        test_context={name: values[test] for name, values in data.test_context.items()},
    )
    return replace(found, facts=_facts(data.facts, train))


def without_identities(data: Data) -> Data:
    """The same texts with one and the same symbol for every word: what is left is how many there are.

    Raises
    ------
    UnsupportedError
        If the vocabulary has no symbol.
    """
    assert data.tokens is not None
    symbol = _symbol(data.tokens)

    def hidden(ids: Array) -> Array:
        return np.where(ids == NO_TOKEN, NO_TOKEN, symbol).astype(ids.dtype)

    found = variant(data, train_inputs=hidden(data.train_inputs), test_inputs=hidden(data.test_inputs))
    return replace(found, facts=data.facts)


def _symbol(tokens: Tokens) -> int:
    found = next((i for i in (tokens.unk, tokens.mask, tokens.pad) if i is not None), None)
    if found is None:
        raise UnsupportedError(
            "the leak is measured with one symbol for every word, and the vocabulary names none",
            "give Tokens(unk=...), Tokens(mask=...) or Tokens(pad=...)",
        )
    return found


def _facts(facts: Mapping[str, Any], rows: Array) -> dict[str, Any]:
    left = {name: value for name, value in facts.items() if name not in _LESSONS}
    if "train_probabilities" in left:
        left["train_probabilities"] = np.asarray(left["train_probabilities"])[rows]
    return left


def _selected(part: Evaluation, selected: Selected, share: float) -> Array:
    """Ids (n, L) of the chosen words of every text, moved together, -1 behind the end; at least one word is left."""
    assert part.sizes is not None
    width = part.inputs.shape[1]
    there = torch.arange(width, device=part.inputs.device) < part.sizes.unsqueeze(1)
    rank = _places(part.attributions.abs(), there, part.draws("ties").uniform((width,)))
    sizes = part.sizes.unsqueeze(1)
    count = torch.minimum((share * sizes.double()).round().clamp(min=1), (sizes - 1).clamp(min=1))
    stays: Callable[[Tensor, Tensor], Tensor] = torch.lt if selected == "kept" else torch.ge
    keep = there & (stays(rank, count) | (sizes == 1))
    order = (~keep).long().argsort(dim=1, stable=True)
    ids = part.inputs.where(keep, torch.full_like(part.inputs, NO_TOKEN)).gather(1, order)
    return ids[:, : int(keep.sum(dim=1).max())].to(torch.int32).cpu().numpy()


def _places(size: Tensor, there: Tensor, drawn: Tensor) -> Tensor:
    """Place of every word (n, L), 0 the most important, ties broken by draws (n, L); what is not there comes last."""
    by_draw = drawn.argsort(dim=1)
    shuffled = size.masked_fill(~there, -1.0).gather(1, by_draw)
    order = by_draw.gather(1, shuffled.argsort(dim=1, descending=True, stable=True))
    return order.argsort(dim=1)
