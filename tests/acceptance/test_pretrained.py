"""The pretrained transformer as the library runs it; needs `xaibench data fetch` of movie_snippets and minilm_l6."""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch

import xaibench as xb
from xaibench.core import registry
from xaibench.core.errors import DataError
from xaibench.datasets.film_opinions import pretrained_folder
from xaibench.datasets.text_shortcuts import text_shortcuts
from xaibench.models.minilm_head import minilm_head

pytest.importorskip("transformers")


@cache
def made() -> tuple[Any, Any]:
    """A small split with a head of its own: the accuracy of the whole is a gate of suite text_pretrained."""
    try:
        pretrained_folder()
        data = registry.get("dataset", "film_opinions").function(seed=1, n_train=200, n_test=20)
    except DataError as error:
        pytest.skip(f"{error.message}; {error.hint}")
    return data, minilm_head(data)


def direct(model: Any, ids: list[int]) -> np.ndarray:
    """Logits of one sequence of ids: the library's own path, mean of places, head."""
    network = model.network.inner
    with torch.no_grad():
        hidden = network.encoder(input_ids=torch.tensor([ids])).last_hidden_state
        found: np.ndarray = network.head(hidden.mean(dim=1))[0].numpy()
    return found


def pieces(row: np.ndarray) -> list[list[int]]:
    return [[int(i) for i in word if i >= 0] for word in row if word[0] >= 0]


def test_logits_and_deletions_are_those_of_input_ids() -> None:
    data, model = made()
    ids = data.test_inputs[:3].astype(np.int64)
    found = xb.explain("feature_ablation", model=model, inputs=ids, features="tokens", targets=[1] * 3,
                       masker="delete", output="logit")  # fmt: skip
    before, after = list(data.tokens.prefix), list(data.tokens.suffix)
    for row, maps in zip(ids, found, strict=True):
        words = pieces(row)
        whole = direct(model, [*before, *chain(*words), *after])[1]
        for place in range(0, len(words), 5):
            rest = chain(*(word for j, word in enumerate(words) if j != place))
            assert maps[place] == pytest.approx(whole - direct(model, [*before, *rest, *after])[1], abs=1e-5)


def test_contributions_and_captum_agree() -> None:
    captum = pytest.importorskip("captum.attr")
    data, model = made()
    row = data.test_inputs[:1].astype(np.int64)
    words = pieces(row[0])
    network = model.network.inner
    ids = torch.tensor([[*data.tokens.prefix, *chain(*words), *data.tokens.suffix]])

    def logits(given: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = network.head(network.encoder(input_ids=given).last_hidden_state.mean(dim=1))
        return found

    baseline = ids.clone()
    baseline[:, 1:-1] = data.tokens.mask
    theirs = (
        captum.LayerIntegratedGradients(logits, network.encoder.get_input_embeddings())
        .attribute(ids, baseline, target=1, method="riemann_middle", n_steps=16)[0, 1:-1]
        .sum(dim=1)
    )
    ends = np.cumsum([len(word) for word in words])
    expected = [float(part.sum()) for part in np.split(theirs.detach().numpy(), ends[:-1])]
    found = xb.explain("integrated_gradients", model=model, inputs=row, features="tokens", targets=[1],
                       baseline="mask", steps=16, output="logit")[0]  # fmt: skip
    np.testing.assert_allclose(found[: len(words)], expected, rtol=1e-3, atol=1e-5)


def test_texts_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(xb.UsageError, match="tokenised for minilm_l6") as caught:
        minilm_head(text_shortcuts(seed=0, corpus="zipf", n_train=40, n_test=10))
    assert "film_opinions" in caught.value.hint
