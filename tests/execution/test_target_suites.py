"""Suites over targets of all kinds: the numbers of the Python API, what is explained in every row, and reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench.core.errors import UsageError
from xaibench.core.registry import load_module

PLUGIN = Path(__file__).parents[1] / "plugins" / "targets.py"


@pytest.fixture(scope="module")
def plugin() -> Any:
    return load_module(str(PLUGIN))


def suite(*problems: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "name": "targets", "description": "targets", "samples": 8, "background": 20, "random_draws": 2,
        "problems": list(problems), "explainers": ["occlusion", "gradient"],
        "metrics": [{"name": "pixel_flipping", "params": {"masker": "mean"}}, "faithfulness_correlation"], **fields,
    }  # fmt: skip


def cells_of(run: Any) -> pd.DataFrame:
    cells = xb.results(run.store)
    failed = cells[cells["status"] == "failed"]
    assert failed.empty, failed["message"].tolist()
    return cells


def scores(cells: pd.DataFrame, metric: str, explainer: str, **chosen: str) -> Any:
    rows = cells[(cells["metric"] == metric) & (cells["explainer"] == explainer)]
    for column, value in chosen.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return np.asarray(rows["scores"].iloc[0])


def test_one_column_has_the_scores_of_two(plugin: Any, tmp_path: Path) -> None:
    models = [{"name": "single", "returns": "binary_logit"}, "double"]
    metrics = ["pixel_flipping", "weight_correlation", "mprt", "completeness"]
    metrics = [m for m in metrics if m in set(xb.components("metric")["name"])]
    run = xb.run(suite({"dataset": "halves", "models": models}, metrics=metrics), store=tmp_path / "store")
    cells = cells_of(run)
    for name in set(metrics) - {"mprt"}:
        for explainer in ("occlusion", "gradient", "oracle"):
            one, two = (
                cells[(cells["metric"] == name) & (cells["explainer"] == explainer) & (cells["model"] == m)].iloc[0]
                for m in ("single", "double")
            )
            assert one["status"] == two["status"]
            np.testing.assert_allclose(one["scores"], two["scores"], atol=1e-6)
    assert cells["gate_passed"].all()
    facts = cells[cells["model"] == "single"]["model_facts"].iloc[0]
    assert "one column written as two" in facts


def test_a_contrast_is_recorded_and_has_the_weights_as_truth(plugin: Any, tmp_path: Path) -> None:
    problem = {"dataset": "thirds", "models": ["three"], "target": "contrast:snow-north-wind"}
    run = xb.run(suite(problem), store=tmp_path / "store")
    cells = cells_of(run)
    assert set(cells["selection"]) == {"test[:8] contrast:snow-north-wind default train[:20]"}
    assert set(cells[cells["metric"] == "pixel_flipping"]["output"].dropna()) == {"probability"}
    assert set(cells[cells["metric"] == "faithfulness_correlation"]["output"].dropna()) == {"contrast"}
    np.testing.assert_allclose(scores(cells, "faithfulness_correlation", "oracle"), 1, atol=1e-5)
    data = plugin.thirds()
    given = xb.Problem(plugin.three(data), data.test_inputs[:8], 1, foils=2, background=data.train_inputs[::5])
    maps = given.explain("occlusion", masker="zero")
    expected = given.score("faithfulness_correlation", maps, masker="mean")
    assert np.isfinite(expected).all()
    page = tmp_path / "page.html"
    run.report(page)
    assert "snow rather than north-wind" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("contrast:snow-hail", "the model has no class 'hail'"),
        ("label:hail", "the model has no class 'hail'"),
        ("each", "the data have one label per row"),
    ],
)
def test_a_target_that_there_is_not_is_one_sentence(plugin: Any, tmp_path: Path, target: str, words: str) -> None:
    run = xb.run(suite({"dataset": "thirds", "models": ["three"]}, target=target), store=tmp_path / "store")
    cells = xb.results(run.store)
    assert set(cells["status"]) == {"failed"}
    assert cells["message"].str.contains(words, regex=False).all()


@pytest.mark.parametrize("target", ["predict", "contrast:snow", "label:", "contrast:-snow"])
def test_a_target_of_no_known_form_is_refused_before_anything_runs(target: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="target"):
        xb.run(suite({"dataset": "thirds", "models": ["three"]}, target=target), store=tmp_path / "store")


def test_every_label_of_a_row_counts_once_per_row(plugin: Any, tmp_path: Path) -> None:
    each = {"dataset": "weather", "models": ["three"], "target": "each"}
    named = {"dataset": "weather", "models": ["three"], "target": "label:snow"}
    run = xb.run(suite(each, named), store=tmp_path / "store")
    cells = cells_of(run)
    data = plugin.weather()
    assert data.n_classes == 3
    labels = data.test_labels[:8]
    given = {"returns": "multilabel_logit", "background": data.train_inputs, "class_names": data.class_names}
    problem = xb.Problem(plugin.three(data), data.test_inputs[:8], labels, **given)
    exact = problem.score("pixel_flipping", problem.explain("gradient"), masker="mean")
    found = cells[cells["selection"].str.contains("each")]
    own = scores(found, "pixel_flipping", "gradient")
    rows = np.unique(problem.rows)
    assert len(own) == len(rows) < labels.sum()
    assert own.shape == (len(rows),)
    assert abs(own.mean() - np.mean([exact[problem.rows == r].mean() for r in rows])) < 0.05
    assert {"F1"} == {g.split('"name": "')[1].split('"')[0] for g in cells["gates"]}
    assert cells["gate_passed"].all()
    board = xb.leaderboard(run.store)
    assert set(board[board["selection"].str.contains("each")]["n"].dropna()) == {len(rows)}
    page = tmp_path / "page.html"
    run.report(page)
    assert "explained: snow" in page.read_text(encoding="utf-8")


def test_values_around_a_hundred_million_have_the_scores_of_small_ones(plugin: Any, tmp_path: Path) -> None:
    problems = [
        {"dataset": {"name": "levels", "params": {"large": large}}, "models": ["regressor"], "target": target}
        for large in (True, False)
        for target in ("label:rain", "contrast:rain-snow")
    ]
    names = ["pixel_flipping", "comprehensiveness", "faithfulness_correlation", "completeness", "infidelity"]
    explainers = ["occlusion", "kernel_shap", "lime", "rise", "tabular_lime"]
    run = xb.run(suite(*problems, metrics=names, explainers=explainers), store=tmp_path / "store")
    cells = cells_of(run)
    assert cells["gate_passed"].all()
    for target in ("label:rain", "contrast:rain-snow"):
        some = cells[cells["selection"].str.contains(target, regex=False)]
        for metric in names:
            for explainer in (*explainers, "random"):
                large, small = (
                    scores(some, metric, explainer, dataset=f"levels(large={flag})") for flag in (True, False)
                )
                np.testing.assert_allclose(large, small, rtol=1e-4, atol=1e-5, err_msg=f"{metric} {explainer}")
    curves = cells[(cells["metric"] == "pixel_flipping") & (cells["status"] == "ok")]
    assert set(curves["output"].dropna()) == {"standardised_value"}


def test_several_values_need_a_target(plugin: Any, tmp_path: Path) -> None:
    run = xb.run(suite({"dataset": "levels", "models": ["regressor"]}), store=tmp_path / "store")
    assert xb.results(run.store)["message"].str.contains("none of them is predicted").all()
