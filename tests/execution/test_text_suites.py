"""Suites over texts and over models with several inputs: the same numbers as by hand, stored and found again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import xaibench as xb
from xaibench.core.errors import DataError
from xaibench.core.registry import load_module

PLUGIN = Path(__file__).parents[1] / "plugins" / "texts.py"
EXPLAINERS: list[Any] = [
    {"name": "feature_ablation", "params": {"masker": "mask"}},
    {"name": "kernel_shap", "params": {"masker": "delete"}},
    {"name": "integrated_gradients", "params": {"baseline": "mask"}},
    "gradient",
]
METRICS: list[Any] = [{"name": "pixel_flipping", "grid": {"masker": ["mask", "delete", "mean"]}}, "relevance_rank"]


@pytest.fixture(scope="module")
def plugin() -> Any:
    return load_module(str(PLUGIN))


def suite(problems: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {
        "name": "texts", "description": "texts", "samples": 12, "background": 10, "random_draws": 2, "controls": True,
        "problems": problems, "explainers": EXPLAINERS, "metrics": METRICS, **fields,
    }  # fmt: skip


@pytest.mark.slow
def test_a_suite_over_texts_has_the_scores_of_the_api(plugin: Any, tmp_path: Path) -> None:
    document = suite([{"dataset": "bags", "models": ["bag", "bag_box"]}])
    run = xb.run(document, store=tmp_path / "store")
    cells = xb.results(run.store)
    assert not len(cells[cells["status"] == "failed"]), cells[cells["status"] == "failed"]["message"].tolist()
    data = plugin.bags()
    texts = [row[row >= 0] for row in data.test_inputs[:12]]
    for model in ("bag", "bag_box"):
        net = getattr(plugin, model)(data)
        own = cells[(cells["model"] == model) & (cells["explainer"] == "feature_ablation") & (cells["status"] == "ok")]
        row = own[(own["metric"] == "pixel_flipping") & own["params"].str.contains('"mask"')].iloc[0]
        given = {
            "model": net,
            "inputs": texts,
            "features": "tokens",
            "special_tokens": plugin.TOKENS,
            "seed": int(row["seed"]),
        }
        maps = xb.explain("feature_ablation", masker="mask", **given)
        expected = xb.score("pixel_flipping", attributions=maps, masker="mask", **given)
        np.testing.assert_allclose(row["scores"], expected, atol=1e-6)
        assert row["channels"] == "none"
    # Gradients need the embedding, which a callable does not show; the mean of ids is not a token.
    unsupported = cells[cells["status"] == "unsupported"]
    assert {"gradient", "integrated_gradients"} <= set(unsupported[unsupported["model"] == "bag_box"]["explainer"])
    names = unsupported[(unsupported["model"] == "bag_box") & (unsupported["explainer"] == "feature_ablation")]
    assert names["message"].str.contains("mean masker is not defined for token ids").all()
    assert len(names)
    # Nothing is done twice, and stored explanations say how long the texts are.
    xb.run(document, store=tmp_path / "store")
    assert xb.results(run.store)["created"].equals(cells["created"])
    key = cells[(cells["explainer"] == "feature_ablation") & cells["explain_key"].notna()]["explain_key"].iloc[0]
    (file,) = Path(run.store).rglob(f"{key}.safetensors")
    with safe_open(file, "pt") as stored:
        assert stored.get_tensor("attributions").shape == (12, 9)
        assert stored.get_tensor("sizes").tolist() == [len(text) for text in texts]


@pytest.mark.slow
def test_a_model_with_two_inputs_runs_through_a_suite(plugin: Any, tmp_path: Path) -> None:
    explainers = ["input_x_gradient", "kernel_shap", "lrp", "partial_dependence", "smoothgrad"]
    metrics = ["pixel_flipping", "max_sensitivity", "completeness", "random_logit", "input_invariance"]
    document = suite([{"dataset": "switched_rows", "models": ["signed"]}], explainers=explainers, metrics=metrics)
    run = xb.run(document, store=tmp_path / "store")
    cells = xb.results(run.store)
    assert not len(cells[cells["status"] == "failed"]), cells[cells["status"] == "failed"]["message"].tolist()
    data = plugin.switched_rows()
    x, sign = data.test_inputs[:12], data.test_context["sign"][:12]
    row = cells[(cells["explainer"] == "input_x_gradient") & (cells["metric"] == "pixel_flipping")].iloc[0]
    given = {"model": plugin.Signed(), "inputs": x, "context": {"sign": sign}}
    maps = xb.explain("input_x_gradient", **given)
    np.testing.assert_allclose(np.abs(maps), np.abs(x * np.arange(1, 5)), rtol=1e-5)
    # The background of a suite is ten rows of the training data.
    chosen = data.train_inputs[np.unique(np.linspace(0, len(data.train_inputs) - 1, 10).astype(int))]
    expected = xb.score("pixel_flipping", attributions=maps, **{**given, "background": chosen})
    np.testing.assert_allclose(row["scores"], expected, atol=1e-5)


def test_fingerprints_know_tokens_and_contexts_and_old_ones_stay(plugin: Any) -> None:
    data = plugin.bags()
    other = replace(data, tokens=xb.Tokens(data.tokens.vocabulary, pad=0))
    assert data.fingerprint != other.fingerprint
    rows = plugin.switched_rows()
    turned = {"sign": -rows.test_context["sign"]}
    assert rows.fingerprint != replace(rows, test_context=turned).fingerprint
    x, y = np.zeros((2, 3), np.float32), np.array([0, 1])
    assert xb.Data("table", x, y, x, y).fingerprint == "0f165f9c7ed5dea7eb45f923f5fb10f6"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids: ids.astype(np.float32), "token ids of float32"),
        (lambda ids: np.where(ids == 2, 99, ids), "99, which is not in the vocabulary"),
        (lambda ids: np.where(np.arange(9) == 0, -1, ids), "behind -1"),
        (lambda ids: np.where(np.arange(len(ids))[:, None] == 3, -1, ids), "without tokens, row 3"),
    ],
)
def test_ids_that_are_none_are_refused(plugin: Any, change: Any, message: str) -> None:
    data = plugin.bags()
    with pytest.raises(DataError, match=message):
        replace(data, test_inputs=change(data.test_inputs))


def test_contexts_that_do_not_fit_are_refused(plugin: Any) -> None:
    rows = plugin.switched_rows()
    with pytest.raises(DataError, match="has 3 rows for 40 inputs"):
        replace(rows, test_context={"sign": rows.test_context["sign"][:3]})
    with pytest.raises(DataError, match=r"test context \[\]"):
        replace(rows, test_context={})
