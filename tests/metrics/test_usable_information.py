"""Bits in chosen words, with a classifier that counts: then they are known exactly."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import xaibench as xb
from xaibench.core import registry
from xaibench.core.data import Data
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.features import raw_layout
from xaibench.core.scoring import score
from xaibench.core.token_predictor import TokenIdPredictor
from xaibench.core.tokens import Tokens, text_sizes

TOKENS = Tokens(12, pad=0, mask=1, unk=2)
EVIDENCE = (3, 4)


def texts(n: int, seed: int, lengths: tuple[int, int] = (5, 5)) -> tuple[np.ndarray, np.ndarray]:
    """Texts with one word that is the label, and others that mean nothing; lengths by label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    ids = np.full((n, max(lengths)), -1, dtype=np.int32)
    for row, label in zip(ids, labels, strict=True):
        size = lengths[label]
        row[:size] = rng.integers(5, 12, size)
        row[rng.integers(size)] = EVIDENCE[label]
    return ids, labels.astype(np.int64)


class Counting:
    """Fits the frequencies of labels given which evidence is there and how many words there are."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.seen: list[Data] = []

    def fit(self, data: Data, seed: int, *, recipe: str | None = None, epochs: int | None = None) -> Any:
        self.seen.append(data)
        counts = Counter(zip(map(_facts, data.train_inputs), data.train_targets.tolist(), strict=True))

        def probabilities(ids: np.ndarray) -> np.ndarray:
            found = np.array([[counts[_facts(row), c] for c in (0, 1)] for row in ids], dtype=float)
            total = found.sum(axis=1, keepdims=True)
            return np.where(total > 0, found / np.maximum(total, 1), 0.5)

        return TokenIdPredictor(probabilities, TOKENS)


def _facts(ids: np.ndarray) -> tuple[bool, bool, int]:
    kept = ids[ids >= 0]
    return bool((kept == 3).any()), bool((kept == 4).any()), len(kept)


def evaluation(explain: Any, lengths: tuple[int, int] = (5, 5)) -> Evaluation:
    train, test = texts(400, 1, lengths), texts(400, 2, lengths)
    data = Data(
        "tokens", *train, *test, tokens=TOKENS, facts={"masking": 0.5, "train_probabilities": np.eye(2)[train[1]]}
    )
    retraining = Counting(data)
    ids = torch.from_numpy(test[0]).long()
    return Evaluation(
        retraining.fit(data, 0), ids, torch.from_numpy(test[1]), raw_layout(ids.shape[1:]), "probability",
        tuple(bytes([i % 256, i // 256]) for i in range(len(ids))), sizes=torch.from_numpy(text_sizes(test[0])),
        attributions=explain(ids), explainer=lambda request: explain(request.samples.inputs), retraining=retraining,
    )  # fmt: skip


def oracle(ids: Tensor) -> Tensor:
    return ((ids == 3) | (ids == 4)).float()


def bits(name: str, ev: Evaluation, **params: Any) -> np.ndarray:
    spec = registry.get("metric", name)
    return score(spec, spec.bind({"n_retrainings": 1, **params}), ev).values.numpy()


def test_the_words_that_decide_hold_the_whole_bit_and_the_others_none() -> None:
    ev = evaluation(oracle)
    assert bits("pvi_kept", ev) == pytest.approx(1.0, abs=1e-6)
    assert bits("pvi_removed", ev) == pytest.approx(0.0, abs=1e-6)
    # A map that is wrong about every word keeps none of it.
    ev = evaluation(lambda ids: 1 - oracle(ids))
    assert bits("pvi_kept", ev) == pytest.approx(0.0, abs=1e-6)
    assert bits("pvi_removed", ev) == pytest.approx(1.0, abs=1e-6)


def test_ties_keep_the_word_that_decides_as_often_as_chance() -> None:
    """One of five words is kept: in a fifth of the texts the bit is there, else nothing is known."""
    found = bits("pvi_kept", evaluation(torch.zeros_like))[0]
    assert found == pytest.approx(0.2, abs=3 * np.sqrt(0.2 * 0.8 / 400) + 0.01)


def test_what_the_number_of_words_tells_is_the_leak() -> None:
    ev = evaluation(lambda ids: 1 - oracle(ids), lengths=(5, 10))
    assert bits("pvi_kept", ev, leak="included") == pytest.approx(1.0, abs=1e-6)
    assert bits("pvi_kept", ev, leak="alone") == pytest.approx(1.0, abs=1e-6)
    assert bits("pvi_kept", ev) == pytest.approx(0.0, abs=1e-6)


def test_models_are_trained_on_what_is_left_without_hiding_more() -> None:
    ev = evaluation(oracle)
    bits("pvi_removed", ev, share=0.4, max_train=100)
    assert isinstance(ev.retraining, Counting)
    data = ev.retraining.seen[1]
    assert data.train_inputs.shape == (100, 3)
    assert not np.isin(data.train_inputs, EVIDENCE).any()
    assert "masking" not in data.facts
    assert data.facts["train_probabilities"].shape == (100, 2)
    assert (ev.retraining.seen[2].train_inputs == 2).all()


def test_a_map_that_is_not_finite_has_no_score() -> None:
    def explain(ids: Tensor) -> Tensor:
        return torch.where(torch.arange(len(ids)).unsqueeze(1) == 7, torch.nan, oracle(ids))

    ev = evaluation(oracle)
    request: list[ExplainRequest] = []
    broken = Evaluation(**{**vars(ev), "explainer": lambda r: (request.append(r), explain(r.samples.inputs))[1]})
    assert np.isnan(bits("pvi_kept", broken)).all()
    assert request


@pytest.mark.exhaustive
def test_in_a_suite_the_truth_keeps_more_bits_than_chance(tmp_path: Any) -> None:
    """Three small LSTMs are trained, which takes a minute on busy cores."""
    document = {
        "name": "bits", "description": "usable information", "samples": 20, "background": 20,
        "problems": [{
            "dataset": {"name": "text_shortcuts", "params": {
                "kind": "single", "corpus": "zipf", "n_train": 500, "n_test": 50, "length": 8}},
            "models": [{"name": "text_lstm", "params": {"epochs": 5}}],
        }],
        "explainers": ["oracle", "constant"], "controls": False,
        "metrics": [{"name": "pvi_kept", "params": {
            "n_retrainings": 1, "target": "label", "share": 0.1, "leak": "included"}}],
    }  # fmt: skip
    cells = xb.results(xb.run(document, store=tmp_path / "store").store)
    cells = cells[cells["metric"] == "pvi_kept"].set_index("explainer")
    assert set(cells["status"]) == {"ok"}, cells["message"].tolist()
    assert cells.loc["oracle", "scores"][0] > cells.loc["constant", "scores"][0] + 0.3
