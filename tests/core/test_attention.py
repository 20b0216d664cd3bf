"""Attention is seen as it is computed, whichever way a module writes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.text_cases import BARE, TOKENS, IdTransformer, Transformer, table, texts, transformer, words
from torch import Tensor, nn

import xaibench as xb
from xaibench.api.inputs import make_view
from xaibench.core.attention import attention_passes
from xaibench.core.groups import cut, groups
from xaibench.core.problem import ProblemView


class Written(nn.Module):
    """One block of attention, written in several ways; reads the first place, or takes the mean."""

    def __init__(self, way: str, *, mean: bool = False, listed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.way, self.mean = way, mean
        block = Block(way)
        if listed:
            self.block, self.attention_blocks = block, [block]
        else:
            self.layers = nn.ModuleList([block, Block(way, seed=1)])
        self.head = nn.Linear(8, 3)
        self.eval()

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        hidden = embeddings
        for layer in [self.block] if hasattr(self, "block") else self.layers:
            hidden = layer(hidden)
        found: Tensor = self.head(hidden.mean(1) if self.mean else hidden[:, 0])
        return found


class Block(nn.Module):
    """Two heads of attention and a residual connection."""

    def __init__(self, way: str, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.way = way
        self.all = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.multi = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, hidden: Tensor) -> Tensor:
        b, n, _ = hidden.shape
        if self.way == "multi":
            return hidden + self.multi(hidden, hidden, hidden, need_weights=False)[0]
        if self.way == "multi with weights":
            return hidden + self.multi(hidden, hidden, hidden)[0]
        q, k, v = (t.view(b, n, 2, 4).transpose(1, 2) for t in self.all(hidden).chunk(3, -1))
        if self.way == "sdpa":
            found = nn.functional.scaled_dot_product_attention(q, k, v)
        elif self.way == "softmax":
            weights = nn.functional.dropout((q @ k.transpose(2, 3) / 2).softmax(-1), 0.1, self.training)
            found = torch.matmul(weights, v)
        else:
            q, k, v = (t.reshape(2 * b, n, 4) for t in (q, k, v))
            found = torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)) / 2, -1), v).view(b, 2, n, 4)
        return hidden + self.out(found.transpose(1, 2).reshape(b, n, 8))


def view_of(model: Any, inputs: Any, **given: Any) -> list[ProblemView]:
    """Dense groups of the texts, as explainers see them."""
    view, raw = make_view(model, inputs, 0, "tokens", None, None, None, None, "cpu", **given)
    view = replace(view, targets=raw.argmax(dim=1))
    assert view.sizes is not None
    return [cut(view, group, None) for group in groups(view.sizes)]


WAYS = ["sdpa", "softmax", "bmm", "multi", "multi with weights"]


@pytest.mark.parametrize("way", WAYS)
def test_weights_are_those_by_hand_whichever_way_they_are_computed(way: str) -> None:
    net = Written(way)
    (view,) = view_of(xb.TokenPredictor(net, table(), BARE), [[7, 9, 11, 30]])
    (found,) = attention_passes(view)
    hidden = view.inputs
    for layer, block in zip(found.layers, net.layers, strict=True):
        if way.startswith("multi"):
            expected = block.multi(hidden, hidden, hidden, average_attn_weights=False)[1]
        else:
            q, k, _ = (t.view(1, 4, 2, 4).transpose(1, 2) for t in block.all(hidden).chunk(3, -1))
            expected = (q @ k.transpose(2, 3) / 2).softmax(-1)
        torch.testing.assert_close(layer.weights, expected, rtol=1e-5, atol=1e-6)
        hidden = block(hidden)
        torch.testing.assert_close(layer.output, hidden, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.raw, view.predict(view.inputs), rtol=1e-5, atol=1e-6)
    assert found.features.tolist() == [[0, 1, 2, 3]]
    # Hooks are removed.
    assert not [m for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]


@pytest.mark.parametrize("way", WAYS)
def test_gradients_by_weights_are_what_a_change_of_them_does(way: str) -> None:
    net = Written(way).double()
    (view,) = view_of(xb.TokenPredictor(net, table().double(), BARE), [[7, 9, 11]])
    (found,) = attention_passes(view)
    slopes = found.weight_gradients(found.raw[:, 1])
    assert [s.shape for s in slopes] == [(1, 2, 3, 3)] * 2
    last = net.layers[1]
    hidden = net.layers[0](view.inputs)
    if not way.startswith("multi"):
        v = last.all(hidden).chunk(3, -1)[2].view(1, 3, 2, 4).transpose(1, 2)
        out = last.out.weight.view(8, 2, 4)
        # f = head(h_0 + out(sum_j A_0j v_j)): the slope by A_0j of a head is head_1 out_h v_j.
        expected = torch.einsum("e,ehd,hjd->hj", net.head.weight[1], out, v[0])
        torch.testing.assert_close(slopes[1][0, :, 0], expected)
    assert not slopes[1][0, :, 1:].any()


def test_the_place_that_is_read_is_found() -> None:
    for mean, shares in ((False, [1, 0, 0]), (True, [1 / 3] * 3)):
        (view,) = view_of(xb.TokenPredictor(Written("sdpa", mean=mean), table(), BARE), [[7, 9, 11]])
        (found,) = attention_passes(view)
        assert found.read_places()[0].tolist() == pytest.approx(shares)


def test_what_stands_around_is_no_feature_and_words_have_their_pieces() -> None:
    for view in view_of(transformer(), texts()):
        for found in attention_passes(view):
            n = view.layout.n_features
            assert found.features.tolist() == [[-1, *range(n), -1]] * len(found.rows)
    ids = words()
    rows = {n: [] for n in range(6)}
    for view in view_of(transformer(), ids):
        for found in attention_passes(view):
            rows[view.layout.n_features] += found.features.tolist()
    for text in ids:
        expected = [-1, *(i for i, word in enumerate(text) for piece in word if piece >= 0), -1]
        assert expected in rows[int((text[:, 0] >= 0).sum())]


def test_a_block_runs_again_with_other_values() -> None:
    net = Written("sdpa")
    (view,) = view_of(xb.TokenPredictor(net, table(), BARE), [[7, 9, 11]])
    (found,) = attention_passes(view)
    layer = found.layers[0]
    torch.testing.assert_close(layer.again(2, lambda v: v)[1], layer.output[0])
    without = layer.again(1, lambda v: torch.zeros_like(v))
    torch.testing.assert_close(without, view.inputs + net.layers[0].out.bias)


def test_models_offer_attention_where_it_is_seen() -> None:
    given = {"features": "tokens"}
    for model in (transformer(), xb.TokenPredictor(Written("sdpa", listed=True), table(), TOKENS)):
        assert "attention" in view_of(model, [[7, 9]])[0].model.provides
    assert "attention" in view_of(IdTransformer(), [[7, 9]], special_tokens=BARE)[0].model.provides

    class Bag(nn.Module):
        def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
            return embeddings.mean(1)

    bag = xb.TokenPredictor(Bag(), table(), BARE)
    assert "attention" not in view_of(bag, [[7, 9]])[0].model.provides
    with pytest.raises(xb.UnsupportedError, match="needs attention") as caught:
        xb.explain("attention_rollout", model=bag, inputs=[[7, 9]], **given)
    assert "ModuleList" in caught.value.hint


def test_a_transformer_of_torch_gives_its_weights() -> None:
    net = Transformer()
    (view,) = view_of(xb.TokenPredictor(net, table(), BARE), [[7, 9, 11, 13]])
    (found,) = attention_passes(view)
    hidden = view.inputs + net.positions[:4]
    for layer, own in zip(found.layers, net.layers.layers, strict=True):
        expected = own.self_attn(hidden, hidden, hidden, average_attn_weights=False)[1]
        np.testing.assert_allclose(layer.weights.detach(), expected.detach(), atol=1e-6)
        hidden = own(hidden)
