"""Input marginalisation and the masker ``mlm`` against sums over the whole vocabulary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb

WORDS = ["[PAD]", "[MASK]", "[CLS]", "a", "fine", "dull", "film", "plot"]
V = len(WORDS)
SCORES = torch.tensor([0.0, 0, 0.1, 0.2, 1.5, -1.2, 0.1, -0.3])
BIGRAM = torch.randn(V, V, generator=torch.Generator().manual_seed(0))


class Tokenizer:
    """Words by their number, with [CLS] before them."""

    mask_token_id, pad_token_id, cls_token_id = 1, 0, 2

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = [WORDS.index(word) if word in WORDS else 3 for word in text.split()]
        return {"input_ids": [2, *ids] if add_special_tokens else ids}


class Sum(nn.Module):
    """Logits from the sum of the words' scores, squared."""

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        total = embeddings[..., 0].sum(1, keepdim=True)
        return torch.cat([torch.zeros_like(total), total + 0.1 * total**2], dim=1)


def bigram(ids: Tensor, places: Tensor) -> Tensor:
    """Log probabilities of a word given the one before."""
    before = ids.gather(1, places.unsqueeze(1) - 1).squeeze(1)
    return BIGRAM[before]


def model(**given: Any) -> Any:
    table = torch.stack([SCORES, torch.ones(V)], dim=1)
    return xb.text_model(Sum(), Tokenizer(), embedding=table, **given)


def probability(ids: list[int]) -> float:
    total = float(SCORES[[2, *ids]].sum())
    return 1 / (1 + math.exp(-(total + 0.1 * total**2)))


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


TEXTS = ["a fine film", "dull", "a dull plot"]
IDS = [[3, 4, 6], [5], [3, 5, 7]]


def conditional(before: int) -> np.ndarray:
    p = BIGRAM[before].double().softmax(0).numpy()
    p[[0, 1, 2]] = 0
    return p / p.sum()


@pytest.mark.parametrize("unit", ["word", "token"])
def test_a_language_model_is_summed_over_its_whole_vocabulary(unit: Any) -> None:
    found = xb.explain(
        "input_marginalisation", model=model(unit=unit, mlm=bigram), inputs=TEXTS, targets=[1] * 3, candidates=V
    )
    for row, ids in enumerate(IDS):
        for place in range(len(ids)):
            p = conditional([2, *ids][place])
            mixed = sum(p[v] * probability([*ids[:place], v, *ids[place + 1 :]]) for v in range(V))
            assert found[row, place] == pytest.approx(log_odds(probability(ids)) - log_odds(mixed), abs=1e-5)


def test_without_a_language_model_frequencies_in_the_background_count() -> None:
    background = ["a fine film", "fine plot", "a dull a"]
    p = np.array([0, 0, 0, 3, 2, 1, 1, 1]) / 8
    found = xb.explain("input_marginalisation", model=model(), inputs=TEXTS, targets=[1] * 3, background=background)
    for row, ids in enumerate(IDS):
        for place in range(len(ids)):
            mixed = sum(p[v] * probability([*ids[:place], v, *ids[place + 1 :]]) for v in range(V))
            assert found[row, place] == pytest.approx(log_odds(probability(ids)) - log_odds(mixed), abs=1e-5)
    with pytest.raises(xb.UnsupportedError, match="neither"):
        xb.explain("input_marginalisation", model=model(), inputs=TEXTS)


def test_the_masker_draws_words_as_often_as_the_language_model_says() -> None:
    texts = ["a fine film"] * 3
    counts = np.zeros(V)
    for seed in range(120):
        found = xb.explain(
            "feature_ablation", model=model(mlm=bigram), inputs=texts[:1], targets=[1], masker="mlm", seed=seed,
            output="logit",
        )  # fmt: skip
        # What the second word became, by the loss.
        own = float(SCORES[[2, 3, 4, 6]].sum())
        for v in range(3, V):
            total = own - 1.5 + float(SCORES[v])
            if abs((own + 0.1 * own**2) - (total + 0.1 * total**2) - found[0, 1]) < 1e-5:
                counts[v] += 1
    expected = conditional(3)
    assert counts.sum() == 120
    error = np.sqrt(expected * (1 - expected) / 120)
    assert (np.abs(counts / 120 - expected) <= 4 * error + 1e-9).all()


def test_the_masker_needs_a_language_model_that_fits() -> None:
    given = {"inputs": TEXTS, "masker": "mlm"}
    with pytest.raises(xb.UnsupportedError, match="masked language model"):
        xb.explain("feature_ablation", model=model(), **given)
    with pytest.raises(xb.UsageError, match="each of 8 tokens"):
        xb.explain("feature_ablation", model=model(mlm=lambda ids, places: torch.zeros(len(ids), 5)), **given)
    # Words of another piece count have no line to them.
    curve = xb.score("comprehensiveness", model=model(mlm=bigram), inputs=TEXTS, explain="gradient", masker="mlm")
    assert np.isfinite(curve).all()
