"""Explanations from files: found by the ids of their rows, scored as they are, beside every control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers.command_line import Call

import xaibench as xb
from xaibench.core.types import Array

METRICS = ["pixel_flipping", "sparseness", "faithfulness_correlation", "max_sensitivity", "mprt", "random_logit"]


@pytest.fixture
def exported(tmp_path: Path, call: Call) -> dict[str, Array]:
    """What `xaibench export` writes of a problem with eight samples, and the maps of integrated gradients for it."""
    suite = {
        "name": "maps", "samples": 8, "background": 8, "controls": False,
        "explainers": ["integrated_gradients"], "metrics": METRICS,
        "problems": [{"dataset": "planted_digits", "models": [{"name": "softmax_regression"}]}],
    }  # fmt: skip
    (tmp_path / "suite.toml").write_text(
        "samples = 8\nbackground = 8\ncontrols = false\n"
        'explainers = ["integrated_gradients"]\nmetrics = ["sparseness"]\n'
        '[[problems]]\ndataset = "planted_digits"\nmodels = ["softmax_regression"]\n'
    )
    code, out, err = call("export", tmp_path / "suite.toml", "-o", tmp_path / "out")
    assert code == 0, err
    path = tmp_path / "out" / "planted_digits__softmax_regression.npz"
    assert str(path) in out.replace("\n", "")
    done = xb.run(suite, store=tmp_path / "ig")
    with np.load(path) as archive:
        found = {name: archive[name] for name in archive.files}
    from xaibench.store import Store

    keys = done.results()["explain_key"].dropna().unique()
    loaded = Store(tmp_path / "ig").load_attributions(keys[0])
    assert loaded is not None
    found["ig"] = loaded[0].numpy()
    return found


def scored(folder: Path, explainers: list[Any], store: str, **fields: Any) -> pd.DataFrame:
    document = {
        "name": "maps", "samples": 8, "background": 8, "controls": False, "explainers": explainers, "metrics": METRICS,
        "problems": [{"dataset": "planted_digits", "models": ["softmax_regression"]}], **fields,
    }  # fmt: skip
    return xb.run(document, store=folder / store).results()


def scores(found: pd.DataFrame, explainer: str) -> dict[str, list[float]]:
    rows = found[(found["explainer"] == explainer) & (found["status"] == "ok")]
    return {row.metric: list(row.scores) for row in rows.itertuples()}


def test_maps_that_were_written_and_read_score_alike_to_the_bit(tmp_path: Path, exported: dict[str, Array]) -> None:
    """In another order, with an axis of channels, as Parquet: the same scores as the explainer's own maps."""
    order = np.random.default_rng(0).permutation(8)
    ids, ig = exported["row_ids"][order], exported["ig"][order]
    np.savez(
        tmp_path / "maps.npz", attributions=ig, row_ids=ids, targets=exported["targets"][order], kind="contribution"
    )
    np.savez(tmp_path / "channels.npz", attributions=ig[:, None], row_ids=ids)
    np.savez(tmp_path / "plain.npz", **{"planted_digits/softmax_regression": exported["ig"]})
    ordered = {"file": str(tmp_path / "plain.npz"), "params": {"order": "test", "kind": "contribution"}}
    entries = [
        "integrated_gradients",
        {"file": str(tmp_path / "maps.npz")},
        {"file": str(tmp_path / "channels.npz"), "params": {"kind": "contribution"}},
        ordered,
    ]
    found = scored(tmp_path, entries, "store")
    own = scores(found, "integrated_gradients")
    for name in ("maps.npz", "channels.npz", "plain.npz"):
        theirs = scores(found, name)
        assert set(theirs) == {"pixel_flipping", "sparseness", "faithfulness_correlation"}
        for metric, values in theirs.items():
            assert values == own[metric], (name, metric)
        again = found[(found["explainer"] == name) & found["metric"].isin(["max_sensitivity", "mprt", "random_logit"])]
        assert (again["status"] == "unsupported").all()
        assert (
            again["message"].str.contains("needs reexplain: maps that were made elsewhere cannot be made again").all()
        )


def test_without_a_kind_maps_are_saliency(tmp_path: Path, exported: dict[str, Array]) -> None:
    """No conversion is invented: numbers of an unknown kind have no sign."""
    np.savez(tmp_path / "maps.npz", attributions=exported["ig"], row_ids=exported["row_ids"])
    found = scored(tmp_path, [{"file": str(tmp_path / "maps.npz")}], "store", metrics=["sparseness"])
    assert found["attribution_kind"].item() == "saliency"
    slopes = {"file": str(tmp_path / "maps.npz"), "params": {"kind": "slope"}}
    assert scored(tmp_path, [slopes], "other", metrics=["sparseness"])["attribution_kind"].item() == "slope"


def test_controls_stand_beside_maps(tmp_path: Path, exported: dict[str, Array]) -> None:
    np.savez(tmp_path / "maps.npz", attributions=exported["ig"], row_ids=exported["row_ids"])
    entry = {"file": str(tmp_path / "maps.npz"), "name": "vendor"}
    found = scored(tmp_path, [entry], "store", controls=True, metrics=["sparseness"], random_draws=1)
    assert {"vendor", "random", "oracle", "other_sample", "input_edges"} <= set(found["explainer"])
    assert set(found["status"]) == {"ok"} or (found[found["status"] != "ok"]["explainer"] == "constant").all()


def test_a_part_of_the_rows_is_scored_and_the_rest_is_undefined(tmp_path: Path, exported: dict[str, Array]) -> None:
    np.savez(tmp_path / "maps.npz", attributions=exported["ig"][:6], row_ids=exported["row_ids"][:6])
    found = scored(tmp_path, [{"file": str(tmp_path / "maps.npz")}], "store", metrics=["sparseness"])
    assert (found["n"].item(), found["n_undefined"].item()) == (8, 2)
    assert np.isnan(found["scores"].item()[6:]).all()


def _foreign(e: dict[str, Array]) -> dict[str, Array]:
    ids = [f"{i:032x}" for i in range(5)]
    return {"attributions": e["ig"], "row_ids": np.array([*ids, *e["row_ids"][5:]])}


WRONG = {
    "other rows": (_foreign, "5 of 8 rows of maps.npz are not of this problem"),
    "other targets": (
        lambda e: {"attributions": e["ig"], "row_ids": e["row_ids"], "targets": (e["targets"] + 1) % 10},
        "explains another output than the problem in 8 of 8 samples",
    ),
    "few rows": (
        lambda e: {"attributions": e["ig"][:3], "row_ids": e["row_ids"][:3]},
        "has maps of 3 of 8 samples",
    ),
    "no ids": (lambda e: {"attributions": e["ig"]}, "does not say which samples its 8 maps are of"),
    "another shape": (
        lambda e: {"attributions": e["ig"][:, :5], "row_ids": e["row_ids"]},
        "the features (",
    ),
    "ids for fewer": (lambda e: {"attributions": e["ig"], "row_ids": e["row_ids"][:4]}, "8 maps and 4 row_ids"),
    "one row twice": (
        lambda e: {"attributions": e["ig"], "row_ids": np.repeat(e["row_ids"][:4], 2)},
        "two maps of one row",
    ),
    "texts": (lambda e: {"attributions": np.array(["a"] * 8), "row_ids": e["row_ids"]}, "not numbers"),
    "no maps": (lambda e: {"maps": e["ig"], "row_ids": e["row_ids"]}, "has no array 'attributions'"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.filterwarnings("ignore:.*cells failed")
def test_maps_of_something_else_fail_with_a_sentence(tmp_path: Path, exported: dict[str, Array], name: str) -> None:
    make, said = WRONG[name]
    np.savez(tmp_path / "maps.npz", **make(exported))
    found = scored(tmp_path, [{"file": str(tmp_path / "maps.npz")}], "store", metrics=["sparseness"])
    assert found["status"].item() == "failed"
    assert said in found["message"].item()


@pytest.mark.parametrize("form", ["wide", "long"])
def test_tables_of_maps(tmp_path: Path, form: str) -> None:
    """Parquet with a column per feature, or a row per feature: the same numbers."""
    from xaibench.explainers.stored_maps import read_maps

    values = np.arange(12.0).reshape(3, 4)
    wide = pd.DataFrame(values, columns=list("wxyz")).assign(row_id=["c", "a", "b"])
    table = wide if form == "wide" else wide.melt("row_id", var_name="feature")
    table.to_parquet(tmp_path / "maps.parquet")
    found = read_maps(tmp_path / "maps.parquet", "", "")
    by_row = dict(zip(found.row_ids, found.maps.tolist(), strict=True))
    assert by_row == {"c": [0, 1, 2, 3], "a": [4, 5, 6, 7], "b": [8, 9, 10, 11]}


def test_arrays_of_maps_in_a_table_of_python() -> None:
    """Maps under a name of their own, with or without channels, score as `score` scores them."""
    rng = np.random.default_rng(0)
    x = rng.random((6, 3, 5, 5), dtype=np.float32)
    weights = rng.normal(size=(75, 2))

    def model(a: Array) -> Array:
        raw = np.exp(a.reshape(len(a), -1) @ weights * 0.1)
        return raw / raw.sum(axis=1, keepdims=True)

    maps = rng.normal(size=(6, 3, 5, 5)).astype(np.float32)
    problem = xb.Problem(model, x, background=x, returns="probability")
    table = problem.evaluate(
        [("theirs", maps), ("summed", maps.sum(axis=1)), ("last", np.moveaxis(maps, 1, -1))],
        ["pixel_flipping", "max_sensitivity"],
        controls=False,
        progress=False,
    )
    flipped = table[table["metric"] == "pixel_flipping"]
    by_name = {name: group["score"].to_numpy() for name, group in flipped.groupby("explainer")}
    wanted = problem.score("pixel_flipping", maps.sum(axis=1))
    assert by_name["theirs"] == pytest.approx(wanted)
    assert by_name["summed"] == pytest.approx(wanted)
    assert by_name["last"] == pytest.approx(wanted, abs=1e-6)
    assert problem.score("pixel_flipping", maps) == pytest.approx(wanted)
    said = flipped.groupby("explainer")["channels"].first().to_dict()
    assert said == {"theirs": "sum", "last": "sum", "summed": "as given"}
    again = table[table["metric"] == "max_sensitivity"]
    assert (again["status"] == "unsupported").all()


def test_an_array_without_a_name_is_asked_for_one() -> None:
    problem = xb.Problem(lambda a: a, [[0.25, 0.75]])
    with pytest.raises(xb.UsageError, match="does not say what made it") as raised:
        problem.evaluate([np.ones((1, 2))], ["sparseness"])
    assert raised.value.hint == '("theirs", array) says it'
