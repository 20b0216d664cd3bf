"""Explainers of attention against plain loops, closed forms and conservation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.text_cases import BARE, TOKENS, Transformer, table, texts, transformer, words
from torch import Tensor, nn

import xaibench as xb
from xaibench.explainers.engines.transformer_rules import TransformerRules

NAMES = [
    "attention_last", "attention_mean", "attention_rollout", "attention_x_gradient", "generic_attention",
    "value_zeroing", "attn_lrp",
]  # fmt: skip
TEXTS = texts()


def explain(name: str, inputs: Any, model: Any = None, **params: Any) -> np.ndarray:
    return np.asarray(xb.explain(name, model=model or transformer(), inputs=inputs, **params))


@pytest.mark.parametrize("name", NAMES)
def test_a_text_has_the_explanation_that_it_has_alone(name: str) -> None:
    together = explain(name, TEXTS)
    for row in (0, 2, 3, 9, 10):
        text = TEXTS[row]
        np.testing.assert_allclose(together[row, : len(text)], explain(name, [text])[0], rtol=1e-5, atol=1e-6)
        assert np.isnan(together[row, len(text) :]).all()
    if name not in ("attention_x_gradient", "attn_lrp"):
        assert (together[np.isfinite(together)] >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_words_have_the_sum_of_their_pieces(name: str) -> None:
    rows = words()
    found = explain(name, rows, features="tokens")
    for row, text in enumerate(rows):
        pieces = [int(i) for word in text for i in word if i >= 0]
        single = explain(name, [pieces])[0]
        place = 0
        for word in range(int((text[:, 0] >= 0).sum())):
            n = int((text[word] >= 0).sum())
            assert found[row, word] == pytest.approx(single[place : place + n].sum(), abs=2e-6)
            place += n


def by_hand(text: list[int]) -> tuple[Transformer, Tensor, list[Tensor], list[Tensor]]:
    """The net, its embedded sequence with what stands around, attention of every layer, and hidden states."""
    net = Transformer()
    ids = torch.tensor([[*TOKENS.prefix, *text, *TOKENS.suffix]])
    hidden = table()[ids] + net.positions[: ids.shape[1]]
    weights, states = [], [hidden]
    for layer in net.layers.layers:
        weights.append(layer.self_attn(hidden, hidden, hidden, average_attn_weights=False)[1][0].detach())
        hidden = layer(hidden)
        states.append(hidden.detach())
    return net, table()[ids], weights, states


def test_attention_and_rollout_are_those_of_a_plain_loop() -> None:
    for text in (TEXTS[0], TEXTS[2]):
        _, _, weights, _ = by_hand(text)
        n = len(text) + 2
        last = weights[-1].mean(0)[0, 1:-1]
        np.testing.assert_allclose(explain("attention_last", [text])[0], last, atol=1e-6)
        mean = torch.stack([w.mean((0, 1)) for w in weights]).mean(0)[1:-1]
        np.testing.assert_allclose(explain("attention_mean", [text])[0], mean, atol=1e-6)
        flow = [[float(i == j) for j in range(n)] for i in range(n)]
        for weight in weights:
            step = weight.mean(0).tolist()
            mixed = [[step[i][j] / 2 + (i == j) / 2 for j in range(n)] for i in range(n)]
            flow = [[sum(mixed[i][k] * flow[k][j] for k in range(n)) for j in range(n)] for i in range(n)]
        np.testing.assert_allclose(explain("attention_rollout", [text])[0], flow[0][1:-1], atol=1e-6)


def test_value_zeroing_is_what_blocks_say_without_a_value() -> None:
    text = TEXTS[2][:5]
    net, _, _, states = by_hand(text)
    n = len(text) + 2
    flow = torch.eye(n, dtype=torch.float64)
    for layer, hidden, output in zip(net.layers.layers, states, states[1:], strict=False):
        attention = layer.self_attn
        width = attention.embed_dim
        q, k, v = nn.functional.linear(hidden[0], attention.in_proj_weight, attention.in_proj_bias).chunk(3, -1)
        heads = [t.view(n, 2, width // 2).transpose(0, 1) for t in (q, k, v)]
        weight = (heads[0] @ heads[1].transpose(1, 2) / math.sqrt(width // 2)).softmax(-1)
        change = torch.zeros(n, n, dtype=torch.float64)
        for j in range(n):
            value = heads[2].clone()
            value[:, j] = 0
            mixed = attention.out_proj((weight @ value).transpose(0, 1).reshape(n, width))
            state = layer.norm1(hidden[0] + mixed)
            state = layer.norm2(state + layer.linear2(torch.relu(layer.linear1(state))))
            change[:, j] = 1 - torch.cosine_similarity(state.double(), output[0].double(), dim=1)
        flow = change / change.sum(1, keepdim=True) @ flow
    found = explain("value_zeroing", [text])[0]
    np.testing.assert_allclose(found, flow[0, 1:-1].detach(), rtol=1e-3, atol=1e-4)


class OneAttention(nn.Module):
    """f = sum_t a_t v_t with a = softmax(k), k_t = u e_t + c, v_t = w e_t: one layer with a constant query."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.u, self.w = nn.Parameter(torch.randn(8)), nn.Parameter(torch.randn(8))
        self.layers = nn.ModuleList([nn.Identity()])

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        keys = (embeddings @ self.u).unsqueeze(1)
        weights = keys.expand(-1, keys.shape[2], -1).softmax(-1)
        mixed = torch.matmul(weights, (embeddings @ self.w).unsqueeze(2))[:, 0]
        return torch.cat([mixed, -mixed], dim=1)


def one_attention() -> xb.TokenPredictor:
    return xb.TokenPredictor(OneAttention().double(), table().double(), BARE)


def test_one_attention_layer_has_its_closed_forms() -> None:
    """Text by text: gradient x input, leaving one out by deletion, and AttnLRP of a constant query."""
    net = OneAttention().double()
    for text in TEXTS[:6]:
        e = table().double()[torch.tensor(text)]
        k, v = e @ net.u, e @ net.w
        a = k.softmax(0)
        f = (a * v).sum()
        given = {"targets": [0], "output": "logit"}
        found = {
            "input_x_gradient": a * (v + (v - f) * k),
            "feature_ablation": a * (v - f) / (1 - a),
            "attn_lrp": a * v / 2 + k * a * (v - f) / 2,
        }
        for name, expected in found.items():
            params = {"masker": "delete"} if name == "feature_ablation" else {}
            maps = xb.explain(name, model=one_attention(), inputs=[text], **given, **params)[0]
            np.testing.assert_allclose(maps, expected.detach(), rtol=1e-5, atol=1e-6)
        maps = xb.explain("attn_lrp", model=one_attention(), inputs=[text], rule="cp", **given)[0]
        np.testing.assert_allclose(maps, (a * v).detach(), rtol=1e-5, atol=1e-6)
        slope = xb.explain("gradient", model=one_attention(), inputs=[text], channels="norm", **given)[0]
        exact = (a[:, None] * (net.w + (v - f)[:, None] * net.u)).norm(dim=1)
        np.testing.assert_allclose(slope, exact.detach(), rtol=1e-5, atol=1e-6)


class Block(nn.Module):
    """A pre-norm block with GELU, optionally gated."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.gate, self.down = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 8)
        self.gated = gated

    def forward(self, hidden: Tensor) -> Tensor:
        b, n, _ = hidden.shape
        q, k, v = (t.view(b, n, 2, 4).transpose(1, 2) for t in self.qkv(self.norm1(hidden)).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(b, n, 8))
        state = self.norm2(hidden)
        inner = nn.functional.gelu(self.up(state))
        return hidden + self.down(inner * self.gate(state) if self.gated else inner)


class PreNorm(nn.Module):
    """Two blocks over embeddings; the first place is read."""

    def __init__(self, *, gated: bool = False, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.ModuleList([Block(gated), Block(gated)])
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)
        with torch.no_grad():
            for name, p in self.named_parameters():
                p.add_(0.3 * torch.randn_like(p)) if bias or not name.endswith("bias") else p.zero_()
        self.double().eval()

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        hidden = embeddings
        for layer in self.layers:
            hidden = layer(hidden)
        found: Tensor = self.head(self.norm(hidden)[:, 0])
        return found


@pytest.mark.parametrize("gated", [False, True])
def test_cp_conserves_what_biases_do_not_absorb(gated: bool) -> None:
    """Tokens, and biases times their gradient, add up to the output to the last digits of float64."""
    net = PreNorm(gated=gated)
    inputs = torch.randn(1, 5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    biases = [p for name, p in net.named_parameters() if name.endswith("bias")]
    for p in net.parameters():
        p.requires_grad_(False)
    for p in biases:
        p.requires_grad_(True)
    rules = TransformerRules("cp")
    # Biases are part of what depends on the input here, so that they get a gradient.
    with rules:
        raw = net(inputs, torch.ones(1, 5))[0, 1]
    grads = torch.autograd.grad(raw, [inputs, *biases], allow_unused=True)
    total = sum(float((t * g).detach().sum()) for t, g in zip([inputs, *biases], grads, strict=True) if g is not None)
    assert total == pytest.approx(float(raw.detach()), abs=1e-10)
    torch.testing.assert_close(raw, net(inputs, torch.ones(1, 5))[0, 1])


def test_without_biases_cp_adds_up_and_attn_does_not() -> None:
    net = PreNorm(bias=False)
    model = xb.TokenPredictor(net, table().double(), BARE)
    given = {"model": model, "inputs": [TEXTS[0]], "targets": [1], "output": "logit"}
    output = float(net(table().double()[torch.tensor([TEXTS[0]])], None)[0, 1].detach())
    assert float(xb.explain("attn_lrp", rule="cp", **given).sum()) == pytest.approx(output, abs=1e-6)
    assert float(xb.explain("attn_lrp", **given).sum()) != pytest.approx(output, abs=1e-3)


def test_without_attention_norm_and_curvature_it_is_input_times_gradient() -> None:
    class Pieces(nn.Module):
        """Linear but for attention that sees nothing."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.ModuleList([nn.Linear(8, 8)])
            self.head = nn.Linear(8, 3)

        def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
            n = embeddings.shape[1]
            equal = torch.zeros(len(embeddings), n, n).softmax(-1)
            found: Tensor = self.head(torch.matmul(equal, self.layers[0](embeddings)).mean(1))
            return found

    from xaibench.api.inputs import make_view
    from xaibench.core.explaining import explain as explain_view
    from xaibench.core.explaining import explain_function
    from xaibench.core.registry import get

    model = xb.TokenPredictor(Pieces(), table(), BARE)
    view, _ = make_view(model, [TEXTS[0]], 0, "tokens", None, None, None, None, "cpu")
    maps = []
    for name in ("attn_lrp", "input_x_gradient"):
        spec = get("explainer", name)
        maps.append(explain_view(explain_function(spec, spec.bind({})), view, "explain"))
    torch.testing.assert_close(maps[0], maps[1])


def test_attention_x_gradient_and_generic_attention_are_those_of_a_plain_loop() -> None:
    text, target = TEXTS[0], 2
    net, embedded, _, _ = by_hand(text)
    n = len(text) + 2
    hidden = embedded + net.positions[:n]
    weights = []
    for layer in net.layers.layers:
        attention = layer.self_attn
        q, k, v = (
            t.view(n, 2, 4).transpose(0, 1)
            for t in nn.functional.linear(hidden[0], attention.in_proj_weight, attention.in_proj_bias).chunk(3, -1)
        )
        weights.append((q @ k.transpose(1, 2) / 2).softmax(-1))
        mixed = attention.out_proj((weights[-1] @ v).transpose(0, 1).reshape(1, n, 8))
        state = layer.norm1(hidden + mixed)
        hidden = layer.norm2(state + layer.linear2(torch.relu(layer.linear1(state))))
    slopes = torch.autograd.grad(net.head(hidden[:, 0])[0, target], weights)
    given = {"targets": [target], "output": "logit"}
    product = sum((w * g).sum((0, 1)) for w, g in zip(weights, slopes, strict=True))[1:-1]
    np.testing.assert_allclose(explain("attention_x_gradient", [text], **given)[0], product.detach(), atol=1e-5)
    flow = torch.eye(n)
    for w, g in zip(weights, slopes, strict=True):
        flow = flow + (w * g).clamp(min=0).mean(0) @ flow
    np.testing.assert_allclose(explain("generic_attention", [text], **given)[0], flow[0, 1:-1].detach(), atol=1e-5)


def test_operations_without_a_rule_are_refused_in_a_sentence() -> None:
    class Sines(OneAttention):
        def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
            return super().forward(torch.sin(embeddings), mask)

    model = xb.TokenPredictor(Sines(), table(), BARE)
    with pytest.raises(xb.UnsupportedError, match="no rule for 'sin'"):
        explain("attn_lrp", TEXTS[:2], model)
    with pytest.raises(xb.UnsupportedError, match="outside of a block"):
        explain("value_zeroing", TEXTS[:2], one_attention())
