"""What applies to a model, and what earlier boards say, without running anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import Call

import xaibench as xb

BASELINE = Path(__file__).parents[2] / "results" / "baselines" / "quick"
SUITE = {
    "name": "asked",
    "explainers": ["lrp"],
    "metrics": ["deletion"],
    "problems": [
        {"dataset": "breast_cancer", "models": ["random_forest", "mlp"]},
        {"dataset": "adult", "models": ["mlp"]},
    ],
}


@pytest.mark.slow
def test_boards_of_the_same_problem_and_of_others_are_kept_apart() -> None:
    found = xb.recommend(SUITE, BASELINE).set_index(["dataset", "model", "explainer"]).sort_index()
    same, other = found.loc[("breast_cancer", "mlp")], found.loc[("adult", "mlp")]
    assert same.loc["lrp", "here"].endswith("(quick)")
    assert same.loc["lrp", "elsewhere"] == ""
    assert other.loc["lrp", ["here", "elsewhere"]].to_list() == ["", "use (quick)"]
    assert other.loc["vargrad", "elsewhere"] == "do not use (quick)"
    assert same.loc["anchors", ["here", "elsewhere"]].to_list() == ["", ""]


def test_what_applies_follows_from_the_model(tmp_path: Path) -> None:
    found = xb.recommend(SUITE, tmp_path / "nothing").set_index(["model", "explainer"]).loc["random_forest"]
    assert bool(found.loc["kernel_shap", "applies"])
    assert not found.loc["gradient", "applies"]
    assert found.loc["gradient", "reason"] == "needs gradients"
    assert "image" in found.loc["grad_cam", "reason"] or "gradients" in found.loc["grad_cam", "reason"]
    assert not (set(found.index) & {"random", "oracle", "constant", "degraded_oracle"})
    assert (found["here"] == "").all()


def test_a_problem_of_python_knows_what_applies(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model = lambda a: np.stack([a @ [2.0, -1.0, 0.5], a @ [0.0, 0.0, 0.0]], axis=1)  # noqa: E731
    found = xb.Problem(model, x, returns="logit").recommend(tmp_path / "nothing").set_index("explainer")
    assert found.loc["kernel_shap", "applies"]
    assert not found.loc["gradient", "applies"]
    assert "background" in found.loc["pattern", "reason"]
    with_background = xb.Problem(model, x, returns="logit", background=x).recommend(tmp_path / "nothing")
    assert with_background.set_index("explainer").loc["pattern", "applies"]


def test_the_command_prints_and_gives_json(tmp_path: Path, call: Call) -> None:
    code, out, err = call("recommend", "text_closed_forms", "--store", tmp_path / "nothing")
    assert code == 0, err
    assert "explainers may apply: known when the model is built" in out
    assert "holds no earlier board: `xaibench run text_closed_forms` makes one" in " ".join(out.split())
    code, out, _ = call("recommend", "text_closed_forms", "--store", tmp_path / "nothing", "--json")
    assert code == 0
    assert {"dataset", "model", "explainer", "applies", "reason", "here", "elsewhere"} == set(json.loads(out)[0])
    code, _, err = call("recommend", "quik")
    assert code == 2
    assert "quick" in err
