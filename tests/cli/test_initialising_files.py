"""`xaibench init` for files: boards without a line of Python, and a sentence where something does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.command_line import Call
from helpers.files import loans, net, pictures, pipeline, save_onnx, save_onnx_net, save_pictures

from xaibench import suite as suites


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN = ("--store", "s", "--limit", "4", "--only", "*/*/*/sparseness", "-q", "-j", "0")


def test_a_table_and_an_onnx_pipeline(call: Call, folder: Path) -> None:
    """A column that the model does not take is left out, which is said; removed features get values that exist."""
    pytest.importorskip("skl2onnx")
    frame = loans()
    save_onnx(pipeline(frame), frame, folder / "model.onnx", options={"zipmap": False})
    frame.assign(number=np.arange(len(frame))).to_csv(folder / "loans.csv", index=False)
    code, out, err = call("init", "--data", "loans.csv", "--model", "model.onnx", "--target", "default")
    assert (code, err) == (0, "")
    assert "Column 'number' is left out: model.onnx does not take it." in out
    assert "classes no, yes" in out
    assert "does not say whether model.onnx was trained on these test rows" in " ".join(out.split())
    assert sorted(p.name for p in folder.iterdir()) == ["loans.csv", "model.onnx", "suite.toml"]
    loaded = suites.load("suite.toml")
    assert [e.name for e in loaded.explainers] == ["occlusion", "lime", "kernel_shap", "shapley_sampling"]
    assert all(e.params == {"masker": "marginal"} for e in loaded.explainers)
    code, out, err = call("run", "suite.toml", *RUN)
    assert code == 0, err
    assert call("export", "suite.toml", "-o", "out")[0] == 0
    rows = pd.read_csv("out/loans.csv__model.onnx.csv").round(2)
    known = set(map(tuple, frame.drop(columns="default").astype(str).to_numpy().tolist()))
    assert set(map(tuple, rows[["age", "income", "purpose", "region"]].astype(str).to_numpy().tolist())) <= known
    with np.load("out/loans.csv__model.onnx.npz") as archive:
        assert archive["row_ids"].tolist() == rows["row_id"].tolist()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_images_with_masks_and_a_compiled_net(call: Call, folder: Path) -> None:
    """Masks of the same names are the truth; a module that has gradients gets explainers that use them."""
    save_pictures(folder)
    with torch.no_grad():
        torch.jit.trace(net(), torch.zeros(1, 1, 12, 12)).save("net.pt")
    code, _, err = call("init", "--data", "scans", "--model", "net.pt")
    assert code == 0, err
    loaded = suites.load("suite.toml")
    assert "gradient" in [e.name for e in loaded.explainers]
    assert {"relevance_rank"} <= {m.name for m in loaded.metrics}
    assert "mprt" not in [m.name for m in loaded.metrics]


def test_arrays_with_maps_of_two_methods(call: Call, folder: Path) -> None:
    """Maps without ids are taken in the order of the test rows where the data say which these are."""
    pytest.importorskip("onnxruntime")
    images, classes, places = pictures(40)
    x = images[:, None] / np.float32(255)
    np.savez("data.npz", train_inputs=x[:30], train_targets=classes[:30], test_inputs=x[30:], test_targets=classes[30:])
    np.savez("maps.npz", first=places[30:] * 1.0, second=x[30:])
    save_onnx_net(folder / "net.onnx")
    arguments = ("init", "--data", "data.npz", "--model", "net.onnx", "--explanations", "maps.npz")
    code, out, err = call(*arguments)
    assert code == 0, err
    assert "its maps are taken to be of the test rows in their order" in out
    assert "data.npz: 30 training rows, 10 test rows; 2 classes." in " ".join(out.split())
    promised = int(out.split(" scores.")[0].split()[-1])
    loaded = suites.load("suite.toml")
    assert loaded.samples == 10
    assert [(e.name, e.params.get("array")) for e in loaded.explainers[:2]] == [
        ("first", "first"),
        ("second", "second"),
    ]
    _, out, _ = call("plan", "suite.toml", "--store", "s")
    assert f"{promised} cells to run" in out
    code, out, err = call("run", "suite.toml", "--store", "s", "--only", "*/*/*/sparseness", "-q", "-j", "0")
    assert code == 0, err
    np.savez("data.npz", inputs=x, targets=classes)
    code, _, err = call(*arguments, "--force")
    assert code == 2
    assert "does not say which samples its 10 maps are of" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "loans.csv", "--model", "none.onnx", "--target", "default"), "there is no file none.onnx"),
        (("--data", "none.npz", "--model", "mlp"), "there is no file none.npz"),
        (("--data", "loans.tsv", "--model", "mlp"), "--target is missing: which column of loans.tsv"),
        (("--data", "loans.tsv", "--model", "mlp", "--target", "defualt"), "did you mean 'default'"),
        (("--data", "loans.tsv", "--model", "cnn", "--target", "default"), "takes image data"),
        (("--data", "scans", "--model", "cnn", "--target", "default"), "has its targets already"),
        (("--data", "loans.csv", "--model", "bad.onnx", "--target", "default"), "bad.onnx is not an ONNX model"),
        (("--data", "loans.csv", "--model", "m.joblib", "--target", "default"), "say --trust m.joblib"),
    ],
)
def test_mistakes_leave_nothing_behind(call: Call, folder: Path, arguments: tuple[str, ...], said: str) -> None:
    pytest.importorskip("onnx")
    loans(60).to_csv("loans.csv", index=False)
    loans(60).to_csv("loans.tsv", index=False, sep="\t")
    save_pictures(folder, 8)
    Path("bad.onnx").write_bytes(b"not a model")
    Path("m.joblib").write_bytes(b"not trusted")
    before = sorted(p.name for p in folder.iterdir())
    code, _, err = call("init", *arguments)
    assert code == 2
    assert said in " ".join(err.split())
    assert sorted(p.name for p in folder.iterdir()) == before
