"""Text models: what they are trained on, that nothing is padded, and that trained ones are what the gates ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core import registry
from xaibench.core.checks import measure_gates
from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.tokens import Tokens
from xaibench.models.obtain import obtain
from xaibench.models.text_adapters import predictor_for
from xaibench.models.text_networks import TextTransformer
from xaibench.models.text_training import TextLessons


def data_of(**changes: Any) -> Data:
    """Texts of two lengths whose class is whether the word 5 is there; the words 5 and 6 decide."""
    rng = np.random.default_rng(0)
    ids = np.full((160, 7), -1, dtype=np.int32)
    for i, row in enumerate(ids):
        row[: 5 + 2 * (i % 2)] = rng.integers(7, 12, size=5 + 2 * (i % 2))
        row[i % 5] = 5 + i // 2 % 2
    classes = (ids == 5).any(axis=1).astype(np.int64)
    given: dict[str, Any] = {
        "train_mask": (ids[:120] == 5) | (ids[:120] == 6),
        "test_mask": (ids[120:] == 5) | (ids[120:] == 6),
        "tokens": Tokens(12, pad=0, mask=1, unk=2, prefix=(3,)),
        "facts": {"masking": 0.5, "neutral_without": "any"},
        "class_names": ("without", "with"),
    }
    return Data("tokens", ids[:120], classes[:120], ids[120:], classes[120:], **{**given, **changes})


def test_batches_hold_texts_of_one_length_with_what_stands_around_them() -> None:
    lessons = TextLessons.of(data_of(facts={}))
    torch.manual_seed(0)
    batches = list(lessons.batches(32))
    assert len(batches) == lessons.n_batches(32) == 4
    assert sorted({ids.shape[1] for ids, _ in batches}) == [6, 8]
    assert all((ids[:, 0] == 3).all() and (ids >= 0).all() for ids, _ in batches)
    seen = sorted(tuple(row[1:].tolist()) for ids, _ in batches for row in ids)
    assert seen == sorted(tuple(int(i) for i in row if i >= 0) for row in data_of().train_inputs)


def test_masked_words_take_their_evidence_with_them() -> None:
    lessons = TextLessons.of(data_of())
    torch.manual_seed(1)
    masked = 0
    for ids, wanted in lessons.batches(16):
        evidence = ((ids == 5) | (ids == 6)).any(dim=1)
        assert torch.equal((wanted != 0.5).all(dim=1), evidence)
        masked += int((ids == 1).sum())
    # The rate is uniform between 0 and a half: a quarter of 720 words.
    assert 110 < masked < 260
    hard = TextLessons.of(data_of(facts={"masking": 0.5}))
    assert all(((wanted == 0) | (wanted == 1)).all() for _, wanted in hard.batches(16))


def test_soft_targets_of_the_data_are_what_is_learned() -> None:
    soft = np.tile(np.array([[0.25, 0.75]], np.float32), (120, 1))
    lessons = TextLessons.of(data_of(facts={"train_probabilities": soft}))
    torch.manual_seed(0)
    assert all(
        torch.equal(wanted, torch.tensor([[0.25, 0.75]]).expand(len(ids), -1)) for ids, wanted in lessons.batches(8)
    )


@pytest.mark.parametrize("name", ["text_transformer", "text_lstm"])
def test_training_is_deterministic_and_cached_and_words_have_unit_length(name: str, tmp_path: Path) -> None:
    spec, data = registry.get("model", name), data_of()
    params = spec.bind({"width": 8, "epochs": 2})
    first = obtain(spec, params, data, seed=1, cache=tmp_path)
    torch.manual_seed(77)
    again = obtain(spec, params, data, seed=1, cache=tmp_path)
    other = obtain(spec, params, data, seed=1)
    assert again.from_cache
    assert not other.from_cache
    assert first.fingerprint == again.fingerprint == other.fingerprint
    assert first.fingerprint != obtain(spec, params, data, seed=2).fingerprint
    assert first.provides >= {"gradients", "module"}
    table = predictor_for(first.model, data).table
    torch.testing.assert_close(table.norm(dim=1), torch.ones(12))
    free = obtain(spec, spec.bind({"width": 8, "epochs": 1, "unit_vectors": False}), data, seed=1)
    assert predictor_for(free.model, data).table.norm(dim=1).std() > 0.1


@pytest.mark.parametrize("name", ["text_transformer", "text_lstm"])
def test_a_text_alone_is_what_it_is_in_a_batch(name: str) -> None:
    data = data_of()
    module = registry.get("model", name).function(data, seed=0, width=8, epochs=1)
    model = predictor_for(module, data)
    texts = [[int(i) for i in row if i >= 0] for row in data.test_inputs[:6]]
    together = xb.explain("integrated_gradients", model=model, inputs=texts, baseline="mask", steps=4)
    for row, text in enumerate(texts):
        alone = xb.explain("integrated_gradients", model=model, inputs=[text], baseline="mask", steps=4)
        np.testing.assert_allclose(together[row, : len(text)], alone[0], atol=1e-6)


def test_the_place_that_is_read_is_the_first_or_all() -> None:
    torch.manual_seed(0)
    first, mean = (TextTransformer(9, 2, 6, 8, 2, 1, True, reads_first=first).eval() for first in (True, False))
    mean.load_state_dict(first.state_dict())
    ids = torch.tensor([[3, 4, 5, 6]])
    hidden = first.norm(first.blocks[0](first.words(ids) + first.positions[:4]))
    torch.testing.assert_close(first(ids), first.head(hidden[:, 0]))
    torch.testing.assert_close(mean(ids), first.head(hidden.mean(dim=1)))


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    block = TextTransformer(9, 2, 6, 8, 2, 1, True, True).blocks[0].attention
    other = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    parts = (block.query, block.key, block.value)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        other.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        other.out_proj.load_state_dict(block.output.state_dict())
    hidden = torch.randn(3, 5, 8)
    torch.testing.assert_close(block(hidden), other(hidden, hidden, hidden)[0])


@pytest.mark.parametrize("name", ["text_transformer", "text_lstm"])
def test_wrong_uses_are_one_sentence(name: str) -> None:
    function = registry.get("model", name).function
    with pytest.raises(UsageError, match="vocabulary"):
        function(data_of(tokens=None), seed=0)
    with pytest.raises(UsageError, match="id of the mask symbol"):
        function(data_of(tokens=Tokens(12, pad=0)), seed=0)
    if name == "text_transformer":
        with pytest.raises(UsageError, match="divided among 3 heads"):
            function(data_of(), seed=0, heads=3)
        module = function(data_of(), seed=0, width=8, epochs=1)
        with pytest.raises(UsageError, match="9 tokens, and the model knows 8 positions"):
            module(torch.zeros(1, 9, dtype=torch.long))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["text_transformer", "text_lstm"])
def test_trained_models_pass_the_gates_and_are_explained(name: str) -> None:
    """The single shortcut among made-up words: a minute at most."""
    data = registry.get("dataset", "text_shortcuts").function(seed=1, kind="single", corpus="zipf")
    found = obtain(registry.get("model", name), {"epochs": 5}, data, seed=1)
    predictor = predictor_for(found.model, data)
    measured = measure_gates(data, predictor, found.accuracy).gates
    assert all(gate.passed for gate in measured), [str(gate) for gate in measured]
    ids, mask = data.test_inputs[:30], data.test_mask[:30]
    texts = [row[row >= 0] for row in ids]
    maps = xb.explain("feature_ablation", model=predictor, inputs=texts, masker="mask")
    scores = xb.score(
        "relevance_rank", model=predictor, inputs=texts, attributions=maps, truth=mask[:, : maps.shape[1]]
    )
    assert scores.mean() > 0.95
