"""ALTI-Logit against plain loops over the weights of a network, and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.text_cases import BARE, TOKENS, VOCABULARY, WIDTH, table, texts, transformer
from torch import Tensor, nn

import xaibench as xb
from xaibench.models.text_networks import TextTransformer, TransformerBlock

TEXTS = [text[:5] for text in texts()[:4]]


def net(layers: int = 2, *, reads_first: bool = True) -> TextTransformer:
    torch.manual_seed(3)
    found = TextTransformer(VOCABULARY, 3, 20, WIDTH, 2, layers, False, reads_first).eval()
    with torch.no_grad():
        for name, p in found.named_parameters():
            if "bias" in name:
                p.normal_(std=0.2)
    return found


def model(module: nn.Module, tokens: Any = TOKENS) -> xb.TokenPredictor:
    return xb.TokenPredictor(module, "words", tokens)


def by_hand(module: TextTransformer, text: list[int], target: int, *, first: bool) -> np.ndarray:
    """Sums over layers and places in plain loops."""
    ids = torch.tensor([[*TOKENS.prefix, *text, *TOKENS.suffix]])
    hidden = (module.words(ids) + module.positions[: ids.shape[1]])[0]
    n = len(hidden)
    states, values = [hidden], []
    for block in module.blocks:
        assert isinstance(block, TransformerBlock)
        layer, normed = block.attention, block.norm1(hidden)
        parts = [p(normed).view(n, 2, -1).transpose(0, 1) for p in (layer.query, layer.key, layer.value)]
        weights = (parts[0] @ parts[1].transpose(1, 2) / parts[0].shape[-1] ** 0.5).softmax(-1)
        # Value of place j in all heads, behind the output projection, without its bias.
        term = torch.zeros(n, n, WIDTH)
        for i in range(n):
            for j in range(n):
                mixed = torch.cat([weights[h, i, j] * parts[2][h, j] for h in range(2)])
                term[i, j] = layer.output.weight @ mixed
        values.append(term)
        hidden = block(hidden[None])[0]
        states.append(hidden)
    spread = (hidden.var(-1, unbiased=False, keepdim=True) + module.norm.eps).sqrt()
    scale = module.head.weight[target] * module.norm.weight
    slope = (scale - scale.mean()) / spread
    slope = torch.cat([slope[:1], torch.zeros_like(slope[1:])]) if first else slope / n
    total = (slope * states[0]).sum(1).tolist()
    flow = np.eye(n)
    for term, read in zip(values, states[:-1], strict=True):
        for j in range(n):
            share = sum(float(slope[i] @ term[i, j]) for i in range(n))
            for s in range(n):
                total[s] += share * flow[j, s]
        mixed = np.zeros((n, n))
        for i in range(n):
            y = read[i] + term[i].sum(0)
            for j in range(n):
                own = term[i, j] + (read[i] if i == j else 0)
                mixed[i, j] = max(0.0, float(y.abs().sum() - (y - own).abs().sum()))
            mixed[i] /= mixed[i].sum()
        flow = mixed @ flow
    return np.array(total[1:-1])


@pytest.mark.parametrize("first", [True, False])
def test_sums_are_those_of_plain_loops(first: bool) -> None:
    module = net(reads_first=first)
    for text in TEXTS:
        with torch.no_grad():
            expected = by_hand(module, text, 1, first=first)
        found = xb.explain("alti_logit", model=model(module), inputs=[text], targets=[1], output="logit")[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_text_has_the_explanation_that_it_has_alone() -> None:
    together = xb.explain("alti_logit", model=model(net()), inputs=TEXTS)
    for row, text in enumerate(TEXTS):
        alone = xb.explain("alti_logit", model=model(net()), inputs=[text])[0]
        np.testing.assert_allclose(together[row, : len(text)], alone, rtol=1e-5, atol=1e-6)


class Attention(nn.Module):
    """One block of attention without normalisation, MLP or bias, and a linear head on the first place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.blocks = nn.ModuleList([_Add()])
        self.head = nn.Linear(WIDTH, 3, bias=False)

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.head(self.blocks[0](embeddings)[:, 0])
        return found


class _Add(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, bias=False, batch_first=True)

    def forward(self, hidden: Tensor) -> Tensor:
        found: Tensor = hidden + self.attention(hidden, hidden, hidden)[0]
        return found


def test_one_layer_without_anything_else_is_shared_out_completely() -> None:
    """Then the output is linear in the values, and the terms of all places add up to it."""
    predictor = xb.TokenPredictor(Attention().eval(), table(), BARE)
    for text in TEXTS:
        given = {"model": predictor, "inputs": [text], "targets": [2], "output": "logit"}
        found = xb.explain("alti_logit", **given)[0]
        with torch.no_grad():
            output = Attention().eval()(table()[torch.tensor([text])], None)[0, 2]
        assert found.sum() == pytest.approx(float(output), abs=1e-5)


def test_blocks_that_normalise_behind_the_sum_are_refused() -> None:
    with pytest.raises(xb.UnsupportedError, match=r"needs blocks that add attention\(norm\(h\)\)") as caught:
        xb.explain("alti_logit", model=transformer(), inputs=TEXTS)
    assert "attn_lrp" in caught.value.hint
