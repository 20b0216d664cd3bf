"""Rules for texts whose explanations are known in closed form: sums, means, one layer of attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

import xaibench as xb
from xaibench.core import registry
from xaibench.core.data import Data
from xaibench.models.text_adapters import predictor_for

N = 40
EXACT = {"atol": 1e-6, "rtol": 1e-5}


def made(rule: str, **params: Any) -> Data:
    found: Data = registry.get("dataset", "text_rules").function(seed=5, rule=rule, **params)
    return found


class Case:
    """Texts of a rule, its model, and keys and values of every word."""

    def __init__(self, rule: str, **params: Any) -> None:
        data = made(rule, **params)
        self.model = predictor_for(registry.get("model", "text_rule").function(data), data)
        self.texts = [row[row >= 0] for row in data.test_inputs[:N]]
        vectors = data.facts["vectors"].astype(np.float64)
        self.keys, self.values = ([vectors[text, i] for text in self.texts] for i in range(2))

    def explain(self, name: str, **params: Any) -> list[np.ndarray]:
        """Maps for the margin, which is the rule's output."""
        targets = np.ones(len(self.texts), dtype=int)
        maps = xb.explain(name, model=self.model, inputs=self.texts, targets=targets, output="margin", **params)
        return [row[: len(text)] for row, text in zip(maps, self.texts, strict=True)]

    def check(self, expected: list[np.ndarray], name: str, **params: Any) -> None:
        for found, wanted in zip(self.explain(name, **params), expected, strict=True):
            np.testing.assert_allclose(found, wanted, **EXACT)


SHAPLEY = {"n_samples": 1024}
"""Enough for every coalition of at most 8 words, so that the values are exact."""


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("feature_ablation", {"masker": "delete"}),
        ("feature_ablation", {"masker": "mask"}),
        ("feature_ablation", {"masker": "zero"}),
        ("input_x_gradient", {}),
        ("integrated_gradients", {"steps": 1}),
        ("integrated_gradients", {"steps": 7, "baseline": "mask"}),
        ("kernel_shap", {**SHAPLEY, "masker": "delete"}),
        ("kernel_shap", {**SHAPLEY, "masker": "zero"}),
        ("shapley_sampling", {"masker": "delete"}),
        ("shapley_sampling", {**SHAPLEY, "masker": "mask"}),
    ],
)
def test_a_sum_of_scores_is_explained_by_its_scores(name: str, params: dict[str, Any]) -> None:
    case = Case("sum", least=3, most=8)
    case.check(case.values, name, **params)


@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients"])
def test_a_mean_gives_every_word_its_share(name: str) -> None:
    case = Case("mean", least=3, most=8)
    case.check([s / len(s) for s in case.values], name)


@pytest.mark.parametrize("masker", ["zero", "mask", "pad"])
def test_a_mean_loses_a_share_by_a_fill(masker: str) -> None:
    case = Case("mean", least=3, most=8)
    shares = [s / len(s) for s in case.values]
    case.check(shares, "feature_ablation", masker=masker)
    case.check(shares, "shapley_sampling", masker=masker, **SHAPLEY)


def test_deletion_changes_the_denominator_of_a_mean() -> None:
    """Leave one out is (s_t - f) / (n - 1); Shapley (s_t + (H_n - 1)(s_t - mean of the others)) / n."""
    case = Case("mean", least=3, most=8)
    alone = [(s - s.mean()) / (len(s) - 1) for s in case.values]
    case.check(alone, "feature_ablation", masker="delete")
    shapley = []
    for s in case.values:
        n = len(s)
        harmonic = (1 / np.arange(1, n + 1)).sum()
        others = (s.sum() - s) / (n - 1)
        shapley.append((s + (harmonic - 1) * (s - others)) / n)
    for name in ("kernel_shap", "shapley_sampling"):
        case.check(shapley, name, masker="delete", **SHAPLEY)
    # Sampled orders: within three standard errors, which the spread of repeated runs gives.
    runs = np.array(
        [np.concatenate(case.explain("shapley_sampling", masker="delete", n_samples=40, seed=i)) for i in range(12)]
    )
    error = np.maximum(runs.std(axis=0, ddof=1) / np.sqrt(len(runs)), 1e-7)
    z = (runs.mean(axis=0) - np.concatenate(shapley)) / error
    assert np.mean(np.abs(z) < 3) > 0.97
    # The two maskers order words alike, and disagree on the sign of those between 0 and the mean.
    for s, by_deletion in zip(case.values, alone, strict=True):
        assert (np.diff(by_deletion[np.argsort(s, kind="stable")]) > -1e-12).all()
    assert any((s * by_deletion < 0).any() for s, by_deletion in zip(case.values, alone, strict=True))


def test_one_layer_of_attention() -> None:
    """Input times gradient is a_t (v_t + (v_t - f) k_t), deletion costs a_t (v_t - f) / (1 - a_t)."""
    case = Case("attention")
    products, lost, weights = [], [], []
    for k, v in zip(case.keys, case.values, strict=True):
        a = np.exp(k) / np.exp(k).sum()
        f = a @ v
        products.append(a * (v + (v - f) * k))
        lost.append(a * (v - f) / (1 - a))
        weights.append(a)
    case.check(products, "input_x_gradient", channels="sum")
    case.check(lost, "feature_ablation", masker="delete")

    def agreement(maps: list[np.ndarray]) -> float:
        return float(np.mean([kendalltau(m, need).statistic for m, need in zip(maps, lost, strict=True)]))

    assert agreement(products) > 0.4
    by_formula = [a * (v - a @ v) for a, v in zip(weights, case.values, strict=True)]
    assert agreement(by_formula) > 0.95


def test_attention_is_unrelated_to_need() -> None:
    """Kendall's tau over 300 random texts of 8 words, each with keys and values of its own: 0 within three errors."""
    rng = np.random.default_rng(0)
    taus = []
    for _ in range(300):
        k, v = rng.standard_normal((2, 8))
        a = np.exp(k) / np.exp(k).sum()
        taus.append(kendalltau(a, a * (v - a @ v) / (1 - a)).statistic)
    assert abs(np.mean(taus)) < 0.08
    assert np.std(taus) > 0.2


def test_attention_in_the_suite_is_the_softmax_of_the_keys() -> None:
    case = Case("attention")
    weights = [np.exp(k) / np.exp(k).sum() for k in case.keys]
    case.check(weights, "attention_last")
    # AttnLRP: half of what flows through the values, and half of the softmax's rule, of which the query keeps nothing.
    relevance = []
    for a, k, v in zip(weights, case.keys, case.values, strict=True):
        relevance.append(a * v / 2 + k * a * (v - a @ v) / 2)
    case.check(relevance, "attn_lrp")


def test_the_gradient_of_attention() -> None:
    """By the key a_t (v_t - f), by the value a_t: their sum is the signed gradient of a word."""
    case = Case("attention")
    expected = []
    for k, v in zip(case.keys, case.values, strict=True):
        a = np.exp(k) / np.exp(k).sum()
        expected.append(a * (1 + v - a @ v))
    case.check(expected, "gradient", channels="sum")


def test_labels_and_truth_are_those_of_the_rule() -> None:
    for rule in ("sum", "mean", "attention"):
        data = made(rule)
        case = Case(rule)
        raw = case.model.predict(*_encoded(case, 0)).numpy()[0]
        assert raw[0] == -raw[1]
        for k, v, label, mask in zip(case.keys, case.values, data.test_targets, data.test_mask, strict=False):
            a = np.exp(k) / np.exp(k).sum() if rule == "attention" else np.ones(len(v))
            assert label == (a @ v > 0)
            assert (mask[: len(v)] == ((v != 0) | (rule == "attention"))).all()
            assert not mask[len(v) :].any()


def _encoded(case: Case, row: int) -> tuple[Any, Any]:
    import torch

    from xaibench.core.features import raw_layout

    text = torch.from_numpy(case.texts[row])[None]
    found = case.model.encode(text, text.shape[1], raw_layout(tuple(text.shape[1:])))
    return found.inputs, found.context or None
