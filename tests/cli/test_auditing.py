"""``xaibench audit`` and ``xaibench agreement`` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench.store import Store

SUITE = """
samples = 24
background = 8
seeds = [0, 1]
random_draws = 1
explainers = [{ name = "degraded_oracle", grid = { noise = [0.5, 2.0] } }, "gradient", "input_x_gradient", "occlusion"]
metrics = ["feature_agreement", "rank_correlation", "planted.py:sign_flipped", "planted.py:always_constant",
  "sparseness"]
[[problems]]
dataset = "tiny.py:tiny"
models = ["tiny.py:exact"]
[[problems]]
dataset = "tiny.py:tiny"
models = ["tiny.py:exact"]
samples = 8
"""


@pytest.fixture
def suite(tmp_path: Path, plugin: Path) -> Path:
    path = tmp_path / "mine.toml"
    planted = plugin.with_name("planted_metrics.py")
    path.write_text(SUITE.replace("tiny.py", str(plugin)).replace("planted.py", str(planted)))
    return path


@pytest.mark.slow
def test_audit_judges_prints_and_keeps(call, suite, tmp_path):
    store = tmp_path / "store"
    code, _, err = call("run", suite, "--store", store, "-q", "-j", "0")
    assert code == 0, err
    code, out, _ = call("audit", store)
    assert code == 0
    assert "suite mine" in out
    assert "tiny/exact, 24 samples, 2 seeds" in out
    kept = pd.read_parquet(store / "audit.parquet").set_index("metric")
    assert list(kept.index[-2:]) == ["always_constant", "sign_flipped"]
    assert list(kept["verdict"].iloc[-2:]) == ["broken", "broken"]
    assert kept.loc["always_constant", "diagnosis"].startswith("constant")
    assert kept.loc["sign_flipped", "diagnosis"].startswith("sign-flipped")
    assert kept.loc["rank_correlation", "verdict"] == "trusted"
    assert (kept["coupled"] == 0).all()
    assert kept.loc["sparseness", "verdict"] == "undecided"

    code, out, err = call("audit", store, "--json", "--suite", "mine")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert {row["metric"] for row in found["metrics"]} == set(kept.index)
    assert found["pairs"]

    code, out, _ = call("agreement", store, "--k", "2", "--measure", "sign")
    assert code == 0
    assert "sign agreement at 2 of 6 features, 24 samples" in out
    pairs = pd.read_parquet(store / "agreement.parquet")
    slopes = pairs[(pairs["explainer_a"] == "gradient") & (pairs["explainer_b"] == "oracle")]
    assert len(slopes) == 4
    assert (slopes["value"] == 1).all(), "the gradient of a linear model is its truth"
    assert set(pairs["selection"]) == {"test[:24] predicted default train[:8]"}
    code, out, _ = call("agreement", store, "--json")
    assert code == 0
    assert {row["measure"] for row in json.loads(out)} == {"feature"}

    code, _, err = call("agreement", store, "--measure", "signs")
    assert code == 2
    assert "did you mean 'sign'" in err
    for k in ("0", "1.5", "many", "-1"):
        code, _, err = call("agreement", store, "--k", k)
        assert code == 2
        assert "neither a number of features nor a share" in err
    code, _, err = call("audit", store, "--suite", "mien")
    assert code == 2
    assert "did you mean 'mine'" in err


def test_without_a_store_there_is_nothing_to_audit(call, tmp_path):
    for command in ("audit", "agreement"):
        code, _, err = call(command, tmp_path / "none")
        assert code == 2
        assert "there is no store" in err


@pytest.mark.slow
def test_agreement_over_texts_is_about_the_words_of_each(tmp_path: Path) -> None:
    """Slow: a transformer learns for an epoch, about 2 s."""
    suite = {
        "name": "texts", "samples": 12, "controls": False, "explainers": ["gradient", "feature_ablation"],
        "metrics": ["sparseness"],
        "problems": [{"dataset": "text_rules", "models": [{"name": "text_transformer", "params": {"epochs": 1}}]}],
    }  # fmt: skip
    run = xb.run(suite, store=tmp_path / "store")
    store = Store(run.store)
    sizes = store.attribution_sizes(run.results()["explain_key"].iloc[0])
    assert sizes is not None
    words = sizes.numpy()
    assert len(set(words.tolist())) > 1
    found = xb.agreement(run.store).set_index("measure").loc["feature"]
    assert (found["n"], found["n_undefined"]) == (12, 0)
    assert found["expected"] == pytest.approx((np.ceil(0.25 * words) / words).mean())
