"""Texts with other inputs beside them, and texts for compiled modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xaibench as xb

WEIGHTS = torch.tensor([0.0, 0, 0, 2, -1, 0])
TEXTS = [[2, 3, 5], [2, 4, 5, 4]]
AGES = torch.tensor([[1.0], [3.0]])
TRUE = [[0.0, 2.0, 0.0], [0.0, -3.0, 0.0, -3.0]]
"""Weight of each word times the age that stands beside its text: the model is linear in embeddings."""


class Opinion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(WEIGHTS[:, None])

    def forward(self, ids: Tensor) -> Tensor:
        total = self.words(ids).sum(dim=1)
        return torch.cat([-total / 2, total / 2], dim=1)


class WithAge(Opinion):
    def forward(self, ids: Tensor, age: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(ids) * age


def explained(name: str, model: Any, **given: Any) -> Any:
    tokens = xb.Tokens(6, pad=0, mask=1)
    return xb.explain(
        name,
        model=model,
        inputs=TEXTS,
        features="tokens",
        special_tokens=tokens,
        targets=[1, 1],
        output="margin",
        **given,
    )


@pytest.mark.parametrize("name", ["feature_ablation", "integrated_gradients", "input_x_gradient"])
@pytest.mark.parametrize("given", [{}, {"embedding": "words"}], ids=["found", "named"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_texts_are_explained_with_what_stands_beside_them(name: str, given: Any, dtype: torch.dtype) -> None:
    found = explained(name, WithAge().eval(), context={"age": AGES.to(dtype)}, **given)
    for row, true in zip(found, TRUE, strict=True):
        assert np.allclose(row[: len(true)], true, atol=1e-5)


def test_each_text_has_the_numbers_that_it_has_alone() -> None:
    def given(rows: slice) -> dict[str, Any]:
        beside = {"age": AGES[rows]}
        return {"features": "tokens", "special_tokens": xb.Tokens(6, pad=0, mask=1), "context": beside}

    together = xb.Problem(WithAge(), TEXTS, **given(slice(None)))
    scores = together.score("pixel_flipping", together.explain("kernel_shap"))
    for i in range(2):
        alone = xb.Problem(WithAge(), TEXTS[i : i + 1], **given(slice(i, i + 1)))
        assert np.allclose(alone.score("pixel_flipping", alone.explain("kernel_shap")), scores[i : i + 1], atol=1e-5)


def test_a_module_that_fails_on_texts_is_explained_in_one_sentence() -> None:
    class Broken(Opinion):
        def forward(self, ids: Tensor) -> Tensor:
            raise RuntimeError("no such luck")

    with pytest.raises(xb.UsageError, match=r"the model failed on .* no such luck"):
        explained("feature_ablation", Broken().eval())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_compiled_modules_take_texts_as_black_boxes() -> None:
    compiled = torch.jit.trace(Opinion().eval(), torch.tensor([[2, 3, 5]]))  # type: ignore[no-untyped-call]
    found = explained("feature_ablation", compiled)
    assert np.allclose(found[0, :3], [0, 2, 0])
    assert np.allclose(found[1], [0, -1, 0, -1])
    with pytest.raises(xb.UnsupportedError, match="gradients") as caught:
        explained("gradient", compiled)
    assert "compiled" in (caught.value.hint or "")
