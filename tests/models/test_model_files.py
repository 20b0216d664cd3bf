"""Models from files answer as the stored models do; what does not fit is said before anything is explained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from helpers.files import loans, net, pictures, pipeline, save_onnx, save_onnx_net, save_pictures
from safetensors.torch import save_file
from torch import nn

from xaibench.core import trust
from xaibench.core.errors import UsageError, XaibenchError
from xaibench.core.problem import Problem
from xaibench.core.types import Array
from xaibench.problems.preparing import Problems
from xaibench.problems.specs import ProblemSpec
from xaibench.suite.references import ModelEntry

NET = "from torch import nn\n\n\ndef net():\n    layers = nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3)\n"
NET += "    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(36, 2))\n"
CODES = {"target": "default", "accuracy_floor": 0.0}


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trust, "_trusted", set())
    monkeypatch.setattr(trust, "user_config", lambda: tmp_path / "config.toml")


def prepared(folder: Path, data: dict[str, Any], model: dict[str, Any], **fields: Any) -> Problem:
    """The problem of a data file and a model file in a folder."""
    chosen = [
        next(ModelEntry.model_validate(entry).choices(kind, folder))  # type: ignore[arg-type]
        for kind, entry in (("dataset", data), ("model", model))
    ]
    spec = ProblemSpec(*chosen, 0, samples=8, target="predicted", background=8, **fields)
    return Problems(None).prepare(spec)


def outputs(problem: Problem) -> Array:
    return problem.samples.predict(problem.samples.inputs).numpy()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    loans().to_csv(tmp_path / "loans.csv", index=False)
    return tmp_path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    save_pictures(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


TABLE = {"file": "loans.csv", "params": CODES}
IMAGES = {"file": "scans", "params": {"accuracy_floor": 0.0}}


def test_a_pipeline_from_onnx_skops_and_joblib_is_one_model(table: Path) -> None:
    """Three files of one pipeline and the pipeline itself give the same probabilities of the same rows."""
    pytest.importorskip("skl2onnx")
    skops = pytest.importorskip("skops.io")
    frame = loans()
    fitted = pipeline(frame)
    save_onnx(fitted, frame, table / "model.onnx", options={"zipmap": False})
    skops.dump(fitted, table / "model.skops")
    joblib.dump(fitted, table / "model.joblib")
    trust.trust_files([table / "model.joblib"])
    found = [prepared(table, TABLE, {"file": f"model.{kind}"}) for kind in ("onnx", "skops", "joblib")]
    for problem in found:
        assert problem.samples.model.returns == "probability"
        assert outputs(problem) == pytest.approx(outputs(found[0]), abs=1e-6)
        assert "retrain" not in problem.capabilities
        assert "no gradients" in problem.lacking["gradients"]
    rows = [tuple(sorted(row.items())) for row in frame.drop(columns="default").to_dict("records")]
    by_row = dict(zip(rows, fitted.predict_proba(frame.drop(columns="default")), strict=True))
    assert len(by_row) == len(frame)
    wanted = np.array(sorted(by_row.values(), key=lambda p: p[0]))[:, 0]
    assert all(np.abs(wanted - p).min() < 1e-6 for p in outputs(found[0])[:, 0])


def test_a_regression_from_files(table: Path) -> None:
    pytest.importorskip("skl2onnx")
    skops = pytest.importorskip("skops.io")
    frame = loans()
    fitted = pipeline(frame, regression=True)
    save_onnx(fitted, frame, table / "line.onnx")
    skops.dump(fitted, table / "line.skops")
    data = {"file": "loans.csv", "params": {**CODES, "target": "income", "task": "regression", "drop": ["default"]}}
    found = [prepared(table, data, {"file": f"line.{kind}"}) for kind in ("onnx", "skops")]
    assert [p.samples.output for p in found] == ["value", "value"]
    assert outputs(found[0]) == pytest.approx(outputs(found[1]), rel=1e-5)


def test_scikit_learn_s_trees_are_known_to_skops(table: Path) -> None:
    """Trees are numbers; their types need no trust."""
    skops = pytest.importorskip("skops.io")
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    frame = loans()
    inputs = frame.drop(columns="default")
    for model in (RandomForestClassifier(5, random_state=0), HistGradientBoostingClassifier(max_iter=5)):
        fitted = make_pipeline(pipeline(frame)[0], model).fit(inputs, frame["default"])
        skops.dump(fitted, table / "trees.skops")
        assert outputs(prepared(table, TABLE, {"file": "trees.skops"})).shape == (8, 2)


@pytest.mark.parametrize("kind", ["onnx", "pt2", "pt", "safetensors", "pth", "data beside onnx"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec.*:FutureWarning")
def test_a_net_from_every_kind_of_file_is_one_model(images: Path, kind: str) -> None:
    model = net()
    example = torch.zeros(2, 1, 12, 12)
    file, params = images / f"net.{kind}", {}
    if kind.endswith("onnx"):
        pytest.importorskip("onnxruntime")
        file = images / "net.onnx"
        save_onnx_net(file, location="weights.bin" if "beside" in kind else None, beside=True)
    elif kind == "pt2":
        dynamic = {0: torch.export.Dim("batch", min=1, max=10_000)}
        torch.export.save(torch.export.export(model, (example,), dynamic_shapes=(dynamic,)), file)
    elif kind == "pt":
        torch.jit.script(model).save(str(file))
    else:
        params = {"architecture": "net.py:net"}
        save = save_file if kind == "safetensors" else torch.save
        save(model.state_dict(), file)
    problem = prepared(images, IMAGES, {"file": file.name, "params": params})
    with torch.no_grad():
        wanted = model(problem.samples.inputs).numpy()
    assert outputs(problem) == pytest.approx(wanted, abs=1e-6)
    assert ("gradients" in problem.capabilities) == (not kind.endswith("onnx"))
    assert "retrain" not in problem.capabilities
    if "gradients" in problem.capabilities:
        leaf = problem.samples.inputs.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(model(leaf).gather(1, problem.samples.targets[:, None]).sum(), leaf)
        assert problem.samples.gradients(problem.samples.inputs).numpy() == pytest.approx(slopes.numpy(), abs=1e-6)


def test_a_fixed_batch_is_filled_or_refused(images: Path) -> None:
    pytest.importorskip("onnxruntime")
    for batch in (1, 3):
        save_onnx_net(images / f"{batch}.onnx", batch=batch)
    save_onnx_net(images / "net.onnx")
    wanted = outputs(prepared(images, IMAGES, {"file": "net.onnx"}))
    with pytest.raises(UsageError, match="exported for batches of 3") as raised:
        prepared(images, IMAGES, {"file": "3.onnx"})
    assert "dynamic batch axis" in str(raised.value.hint)
    filled = prepared(images, IMAGES, {"file": "3.onnx", "params": {"pad": True}})
    assert outputs(filled) == pytest.approx(wanted, abs=1e-6)
    assert outputs(prepared(images, IMAGES, {"file": "1.onnx"})) == pytest.approx(wanted, abs=1e-6)


def test_sessions_are_opened_once_per_process_and_never_sent(images: Path) -> None:
    pytest.importorskip("onnxruntime")
    import pickle

    from xaibench.models.files.onnx_file import Session

    save_onnx_net(images / "net.onnx")
    session = Session(images / "net.onnx")
    assert session.runtime is session.runtime
    again = pickle.loads(pickle.dumps(session))
    x = np.zeros((1, 1, 12, 12), np.float32)
    assert again.run("logits", {"x": x}) == pytest.approx(session.run("logits", {"x": x}))


def _zipmap(folder: Path) -> dict[str, Any]:
    pytest.importorskip("skl2onnx")
    save_onnx(pipeline(loans()), loans(), folder / "m.onnx")
    return {"file": "m.onnx"}


def _label(folder: Path) -> dict[str, Any]:
    pytest.importorskip("skl2onnx")
    save_onnx(pipeline(loans()), loans(), folder / "m.onnx", options={"zipmap": False})
    return {"file": "m.onnx", "params": {"output": "label"}}


def _unknown_output(folder: Path) -> dict[str, Any]:
    return {**_label(folder), "params": {"output": "probability"}}


def _foreign_column(folder: Path) -> dict[str, Any]:
    skops = pytest.importorskip("skops.io")
    frame = loans().rename(columns={"age": "years"})
    skops.dump(pipeline(frame), folder / "m.skops")
    return {"file": "m.skops"}


def _other_classes(folder: Path) -> dict[str, Any]:
    skops = pytest.importorskip("skops.io")
    frame = loans()
    frame["default"] = frame["default"].map({"yes": "1", "no": "0"})
    skops.dump(pipeline(frame), folder / "m.skops")
    return {"file": "m.skops"}


def _not_a_classifier(folder: Path) -> dict[str, Any]:
    skops = pytest.importorskip("skops.io")
    skops.dump(pipeline(loans())[0], folder / "m.skops")
    return {"file": "m.skops"}


def _an_image_model(folder: Path) -> dict[str, Any]:
    pytest.importorskip("onnxruntime")
    save_onnx_net(folder / "m.onnx")
    return {"file": "m.onnx"}


def _damaged(folder: Path) -> dict[str, Any]:
    pytest.importorskip("onnxruntime")
    (folder / "m.onnx").write_bytes(b"this is no model")
    return {"file": "m.onnx"}


def _no_architecture(folder: Path) -> dict[str, Any]:
    torch.save(nn.Linear(2, 2).state_dict(), folder / "m.pth")
    return {"file": "m.pth"}


def _wrong_architecture(folder: Path) -> dict[str, Any]:
    loans()[["age", "income", "default"]].to_csv(folder / "loans.csv", index=False)
    torch.save(nn.Linear(2, 2).state_dict(), folder / "m.pth")
    (folder / "line.py").write_text("from torch import nn\nline = lambda: nn.Linear(3, 2)\n")
    return {"file": "m.pth", "params": {"architecture": "line.py:line"}}


UNFIT = {
    "dictionaries": (_zipmap, "list of dictionaries"),
    "labels": (_label, "labels are not scores"),
    "no such output": (_unknown_output, "has no output 'probability'"),
    "a missing column": (_foreign_column, "fitted .*on a column 'years'|fitted with a column 'years'"),
    "other classes": (_other_classes, "knows the classes 0, 1"),
    "a transformer": (_not_a_classifier, "a ColumnTransformer is not a model"),
    "another shape": (_an_image_model, "takes inputs of shape"),
    "no model": (_damaged, "is not an ONNX model"),
    "weights alone": (_no_architecture, "no architecture is named"),
    "other weights": (_wrong_architecture, "are not those of line.py:line"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_one_sentence(table: Path, name: str) -> None:
    make, said = UNFIT[name]
    model = make(table)
    with pytest.raises(XaibenchError, match=said) as raised:
        prepared(table, TABLE, model)
    assert "\n" not in raised.value.message


def test_models_that_are_files_take_columns_as_they_are(table: Path) -> None:
    """Standardised and split columns are for models that are fitted here; a net takes no texts."""
    skops = pytest.importorskip("skops.io")
    skops.dump(pipeline(loans()), table / "m.skops")
    data = {"file": "loans.csv", "params": {**CODES, "encode": "onehot"}}
    with pytest.raises(UsageError, match="takes columns as they are in its file"):
        prepared(table, data, {"file": "m.skops"})
    save_file(nn.Linear(4, 2).state_dict(), table / "m.safetensors")
    (table / "line.py").write_text("from torch import nn\nline = lambda: nn.Linear(4, 2)\n")
    model = {"file": "m.safetensors", "params": {"architecture": "line.py:line"}}
    with pytest.raises(UsageError, match="takes numbers, and column 'purpose' holds categories"):
        prepared(table, TABLE, model)


def test_columns_that_a_model_does_not_take_are_dropped_or_said(table: Path) -> None:
    skops = pytest.importorskip("skops.io")
    frame = loans()
    skops.dump(pipeline(frame), table / "m.skops")
    frame.assign(number=np.arange(len(frame))).to_csv(table / "more.csv", index=False)
    with pytest.raises(UsageError, match=r"column 'number', which m\.skops does not take"):
        prepared(table, {"file": "more.csv", "params": CODES}, {"file": "m.skops"})
    dropped = {"file": "more.csv", "params": {**CODES, "drop": ["number"]}}
    assert outputs(prepared(table, dropped, {"file": "m.skops"})).shape == (8, 2)


def test_images_are_read_as_they_are_and_masks_are_the_truth(images: Path) -> None:
    pixels, classes, places = pictures()
    data = {"file": "scans", "params": {"masks": "masks", "mean": [0.5], "std": [0.25], "accuracy_floor": 0.0}}
    save_file(net().state_dict(), images / "net.safetensors")
    model = {"file": "net.safetensors", "params": {"architecture": "net.py:net"}}
    problem = prepared(images, data, model)
    mask = problem.truth.mask.numpy()  # type: ignore[union-attr]
    for x, where, label in zip(problem.samples.inputs.numpy(), mask, problem.samples.labels.tolist(), strict=True):  # type: ignore[union-attr]
        number = next(i for i in range(len(pixels)) if np.allclose((pixels[i] / 255 - 0.5) / 0.25, x[0], atol=1e-5))
        assert (places[number] == where).all()
        assert classes[number] == label
