"""One table and one pipeline, as a frame in Python, as CSV with skops and as CSV with ONNX: equal scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.files import loans, pipeline, save_onnx

import xaibench as xb

OWN = """
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
import xaibench as xb
from xaibench.datasets.splits import generator

HERE = Path(__file__).parent


@xb.dataset("loans_in_python", features="table", version=1)
def data(*, seed: int) -> xb.Data:
    table = pd.read_csv(HERE / "loans.csv")
    rng = generator("split of a file", seed)  # the order in which rows of a file are taken
    train, test = (table.iloc[rng.permutation(np.flatnonzero(table["part"] == s))] for s in ("train", "test"))
    inputs = [rows[["age", "income", "purpose", "region"]] for rows in (train, test)]
    return xb.Data("table", inputs[0], train["default"], inputs[1], test["default"], accuracy_floor=0.5)


def model(data: xb.Data):
    return skops.io.load(HERE / "model.skops")
"""
SUITE = """
samples = 12
background = 24
controls = false
explainers = [
  { name = "kernel_shap", params = { masker = "marginal", n_samples = 64 } },
  { name = "occlusion", params = { masker = "marginal" } },
  { name = "lime", params = { masker = "marginal", n_samples = 64 } },
]
metrics = [
  { name = "pixel_flipping", params = { masker = "marginal" } },
  { name = "faithfulness_correlation", params = { masker = "marginal" } },
  "sparseness",
]

[[problems]]
dataset = "own.py:data"
models = ["own.py:model"]

[[problems]]
dataset = { file = "loans.csv", params = { target = "default", split = "part", accuracy_floor = 0.5 } }
models = [{ file = "model.skops" }, { file = "model.onnx" }]
"""


def test_a_frame_skops_and_onnx_score_alike(tmp_path: Path) -> None:
    """Sample for sample, to 1e-5."""
    pytest.importorskip("skl2onnx")
    skops = pytest.importorskip("skops.io")
    frame = loans()
    fitted = pipeline(frame)
    frame.assign(part=np.where(np.arange(len(frame)) % 3, "train", "test")).to_csv(tmp_path / "loans.csv", index=False)
    save_onnx(fitted, frame, tmp_path / "model.onnx", options={"zipmap": False})
    skops.dump(fitted, tmp_path / "model.skops")
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "suite.toml").write_text(SUITE)
    found = xb.run(tmp_path / "suite.toml", store=tmp_path / "store").results()
    assert set(found["status"]) == {"ok"}, found["message"].dropna().tolist()
    by_model = {}
    for name, rows in found.groupby("model"):
        by_model[name] = {
            (row.explainer, row.metric): dict(zip(row.sample_ids, row.scores, strict=True)) for row in rows.itertuples()
        }
    onnx, skop = by_model["model.onnx"], by_model["model.skops"]
    own = by_model[next(name for name in by_model if name not in ("model.onnx", "model.skops"))]
    for cell, scores in own.items():
        for other in (onnx, skop):
            assert set(other[cell]) == set(scores), "the same samples"
            theirs = [other[cell][sample] for sample in scores]
            assert theirs == pytest.approx(list(scores.values()), abs=1e-5), cell
