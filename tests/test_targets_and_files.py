"""Where kinds of targets meet files: what is exported for each, and maps of another question than the one asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import xaibench as xb
from xaibench.api.exporting import export_problems
from xaibench.core.registry import load_module

PLUGIN = Path(__file__).parent / "plugins" / "targets.py"
CONTRAST = "contrast:snow-north-wind"


@pytest.fixture(scope="module")
def plugin() -> Any:
    return load_module(str(PLUGIN))


def suite(*targets: str, explainers: Any = ("occlusion",)) -> dict[str, Any]:
    return {
        "name": "seams", "description": "seams", "samples": 8, "background": 20, "controls": False,
        "problems": [{"dataset": "thirds", "models": ["three"], "target": target} for target in targets],
        "explainers": list(explainers),
        "metrics": ["pixel_flipping", {"name": "faithfulness_correlation", "params": {"masker": "zero"}}],
    }  # fmt: skip


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def test_every_question_about_a_model_is_exported(plugin: Any, tmp_path: Path) -> None:
    written = export_problems(suite("label:snow", CONTRAST, "label:snow"), tmp_path)
    assert [path.name for path in written] == [
        "thirds__three-label__snow.npz",
        "thirds__three-contrast__snow-north-wind.npz",
    ]
    label, contrast = (arrays(path) for path in written)
    assert label["targets"].tolist() == contrast["targets"].tolist() == [1] * 8
    assert "foils" not in label
    assert contrast["foils"].tolist() == [2] * 8
    (alone,) = export_problems(suite(CONTRAST), tmp_path)
    assert alone.name == "thirds__three.npz"


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_maps_of_a_contrast_are_those_of_its_foils(plugin: Any, tmp_path: Path, kind: str) -> None:
    (path,) = export_problems(suite(CONTRAST), tmp_path)
    given = arrays(path)
    weights = plugin.WEIGHTS[1] - plugin.WEIGHTS[2]

    def store(name: str, **more: Any) -> dict[str, Any]:
        maps, ids = given["inputs"] * weights, given["row_ids"]
        file = tmp_path / f"{name}.{kind}"
        if kind == "npz":
            np.savez(file, attributions=maps, row_ids=ids, kind="contribution", **more)
        else:
            beside = {name.removesuffix("s"): values for name, values in more.items()}
            pd.DataFrame(maps, columns=list("abcd")).assign(row_id=ids, **beside).to_parquet(file)
        return {"file": str(file), "params": {"kind": "contribution"}}

    entries = [
        store("right", targets=given["targets"], foils=given["foils"]),
        store("against_rain", targets=given["targets"], foils=np.zeros(8, int)),
        store("single", targets=given["targets"]),
    ]
    cells = xb.results(xb.run(suite(CONTRAST, explainers=entries), store=tmp_path / "store").store)
    found = dict(list(cells[cells["metric"] == "faithfulness_correlation"].groupby("explainer")))
    np.testing.assert_allclose(found[f"right.{kind}"]["scores"].iloc[0], 1, atol=1e-5)
    for name, sentence in (
        ("against_rain", "contrasts with another output than the problem in 8 of 8 samples"),
        ("single", f"the problem contrasts every target with a foil, and single.{kind} explains single outputs"),
    ):
        row = found[f"{name}.{kind}"].iloc[0]
        assert row["status"] == "failed"
        assert sentence in row["message"]
    cells = xb.results(xb.run(suite("label:snow", explainers=entries[:1]), store=tmp_path / "other").store)
    assert cells["message"].str.contains("contrasts every target with a foil, and the problem explains single").all()


@pytest.mark.parametrize("kind", ["npz", "wide", "long"])
def test_maps_whose_features_have_names_are_put_in_the_order_of_the_data(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60, 3)).round(3), columns=["c", "a", "b"])
    table.assign(y=np.where(table["c"] > table["a"], "yes", "no")).to_csv(tmp_path / "t.csv", index=False)
    document = {
        "name": "names", "samples": 6, "background": 6, "controls": False, "metrics": ["sparseness", "completeness"],
        "problems": [{"dataset": {"file": str(tmp_path / "t.csv"), "params": {"target": "y"}}, "models": [
            "softmax_regression"]}], "explainers": ["input_x_gradient"],
    }  # fmt: skip
    (path, *_) = export_problems(document, tmp_path)
    given = arrays(path)
    assert given["feature_names"].tolist() == ["c", "a", "b"]
    maps = pd.DataFrame(given["inputs"] * [3.0, -2.0, 0.5], columns=["c", "a", "b"])
    other = maps[["a", "b", "c"]]

    def store(frame: pd.DataFrame, name: str) -> dict[str, Any]:
        if kind == "npz":
            file = tmp_path / f"{name}.npz"
            columns = np.array(list(frame.columns))
            np.savez(file, attributions=frame.to_numpy(), row_ids=given["row_ids"], feature_names=columns)
            return {"file": str(file), "params": {"kind": "contribution"}}
        file = tmp_path / f"{name}.parquet"
        wide = frame.assign(row_id=given["row_ids"])
        (wide if kind == "wide" else wide.melt("row_id", var_name="feature", value_name="value")).to_parquet(file)
        return {"file": str(file), "params": {"kind": "contribution"}}

    entries = [store(maps, "own"), store(other, "sorted"), store(maps.rename(columns={"b": "x"}), "odd")]
    metrics = [{"name": "faithfulness_correlation", "params": {"masker": "zero"}}, "pixel_flipping"]
    document = {**document, "explainers": entries, "metrics": metrics}
    cells = xb.results(xb.run(document, store=tmp_path / "store").store)
    for _, rows in cells.groupby("metric"):
        found = {str(row.explainer).partition(".")[0]: row for row in rows.itertuples()}
        np.testing.assert_array_equal(found["own"].scores, found["sorted"].scores)
        assert found["odd"].status == "failed"
        assert "names some features as the problem does, but not 'b'" in str(found["odd"].message)


def test_numbers_that_are_names_are_categories_of_a_model_that_is_fitted_here(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"code": rng.integers(0, 4, 80), "size": rng.normal(size=80).round(2)})
    table.assign(y=np.where(table["code"] % 2 == 1, "odd", "even")).to_csv(tmp_path / "t.csv", index=False)
    params = {"target": "y", "categorical": ["code"]}
    document = {
        "name": "codes", "samples": 6, "background": 6, "controls": False,
        "explainers": [{"name": "kernel_shap", "params": {"masker": "marginal"}}], "metrics": ["pixel_flipping"],
        "problems": [{"dataset": {"file": str(tmp_path / "t.csv"), "params": params}, "models": ["random_forest"]}],
    }  # fmt: skip
    cells = xb.results(xb.run(document, store=tmp_path / "store").store)
    assert set(cells["status"]) == {"ok"}, cells["message"].tolist()
