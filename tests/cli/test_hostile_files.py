"""Files from elsewhere: refused, contained or read in pieces; nothing in them is executed."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from helpers.command_line import Call
from helpers.files import (
    Marker,
    large_png,
    loans,
    marker_bytes,
    net,
    pictures,
    pipeline,
    save_onnx_net,
    save_pictures,
)

from xaibench.core import trust
from xaibench.core.errors import DataError
from xaibench.core.zip_archives import check_zip
from xaibench.datasets.files.reading import read_table

Make = Callable[[Path, Path], tuple[Any, Any, list[Any]]]
"""Writes files into a folder, with a marker that must not appear; gives data set, model and explainers."""
IMAGES = {"file": "scans"}
SOFTMAX = "softmax_regression"


@pytest.fixture(autouse=True)
def _trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trust, "_trusted", set())
    monkeypatch.setattr(trust, "user_config", lambda: tmp_path / "config.toml")


def _npz_with_pickle(folder: Path, marker: Path) -> Any:
    np.savez(folder / "data.npz", inputs=np.array([Marker(marker)] * 9, dtype=object), targets=np.arange(9) % 2)
    return {"file": "data.npz"}, SOFTMAX, []


def _npz_with_dots(folder: Path, marker: Path) -> Any:
    with zipfile.ZipFile(folder / "data.npz", "w") as archive:
        content = io.BytesIO()
        np.save(content, np.zeros((9, 2)))
        archive.writestr("../inputs.npy", content.getvalue())
        archive.writestr("targets.npy", content.getvalue())
    return {"file": "data.npz"}, SOFTMAX, []


def _npz_bomb(folder: Path, marker: Path) -> Any:
    with (
        zipfile.ZipFile(folder / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("inputs.npy", "w") as f,
    ):
        np.lib.format.write_array_header_1_0(f, {"descr": "<f4", "fortran_order": False, "shape": (2**16, 2**11)})
        for _ in range(2**9):
            f.write(bytes(2**20))
    return {"file": "data.npz"}, SOFTMAX, []


def _maps_with_pickle(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    np.savez(folder / "maps.npz", attributions=np.array([Marker(marker)] * 4, dtype=object))
    return IMAGES, SOFTMAX, [{"file": "maps.npz", "params": {"order": "test"}}]


def _image_bomb(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    (folder / "scans" / "even" / "000.png").write_bytes(large_png(31_623, 31_623))
    return IMAGES, SOFTMAX, []


def _image_of_another_format(folder: Path, marker: Path) -> Any:
    """Readers of PostScript and the like start programs; only four formats are opened, whatever a file is called."""
    save_pictures(folder, 24)
    (folder / "scans" / "even" / "000.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n")
    return IMAGES, SOFTMAX, []


def _link_among_images(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    secret = folder.parent / "secret.png"
    secret.write_bytes((folder / "scans" / "even" / "000.png").read_bytes())
    (folder / "scans" / "even" / "999.png").symlink_to(secret)
    return IMAGES, SOFTMAX, []


def _folder_that_is_a_link(folder: Path, marker: Path) -> Any:
    save_pictures(folder.parent / "elsewhere", 24)
    (folder / "scans").symlink_to(folder.parent / "elsewhere" / "scans")
    return IMAGES, SOFTMAX, []


def _onnx_weights_elsewhere(folder: Path, marker: Path) -> Any:
    pytest.importorskip("onnxruntime")
    save_pictures(folder, 24)
    (folder.parent / "weights.bin").write_bytes(bytes(10_000))
    save_onnx_net(folder / "net.onnx", location="../weights.bin")
    return IMAGES, {"file": "net.onnx"}, []


def _onnx_weights_by_a_link(folder: Path, marker: Path) -> Any:
    pytest.importorskip("onnxruntime")
    save_pictures(folder, 24)
    (folder.parent / "weights.bin").write_bytes(bytes(10_000))
    (folder / "weights.bin").symlink_to(folder.parent / "weights.bin")
    save_onnx_net(folder / "net.onnx", location="weights.bin")
    return IMAGES, {"file": "net.onnx"}, []


def _onnx_with_custom_operators(folder: Path, marker: Path) -> Any:
    pytest.importorskip("onnxruntime")
    save_pictures(folder, 24)
    save_onnx_net(folder / "net.onnx", domain="evil.ops")
    return IMAGES, {"file": "net.onnx"}, []


def _pickled_model(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    (folder / "model.joblib").write_bytes(marker_bytes(marker))
    return IMAGES, {"file": "model.joblib"}, []


def _pickled_state_dict(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    torch.save({"weight": Marker(marker)}, folder / "net.pth")
    (folder / "net.py").write_text("from torch import nn\nnet = lambda: nn.Linear(2, 2)\n")
    return IMAGES, {"file": "net.pth", "params": {"architecture": "net.py:net"}}, []


def _pickle_as_torchscript(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    torch.save(Marker(marker), folder / "net.pt")
    return IMAGES, {"file": "net.pt"}, []


def _pickle_as_safetensors(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    torch.save(Marker(marker), folder / "net.safetensors")
    (folder / "net.py").write_text("from torch import nn\nnet = lambda: nn.Linear(2, 2)\n")
    return IMAGES, {"file": "net.safetensors", "params": {"architecture": "net.py:net"}}, []


def exported_with(path: Path, replaced: bytes | None, *, says_pickle: bool = False) -> None:
    """An exported program whose pickled members are replaced, or whose configuration says that weights are pickles."""
    plain = io.BytesIO()
    torch.export.save(torch.export.export(net(), (torch.zeros(1, 1, 12, 12),)), plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if replaced is not None and name.endswith(".pt"):
                content = replaced
            if says_pickle and name.endswith(".json") and b"use_pickle" in content:
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true')
            target.writestr(name, content)


def _exported_with_pickled_inputs(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    content = io.BytesIO()
    torch.save(Marker(marker), content)
    exported_with(folder / "net.pt2", content.getvalue())
    return IMAGES, {"file": "net.pt2"}, []


def _exported_that_says_pickle(folder: Path, marker: Path) -> Any:
    save_pictures(folder, 24)
    exported_with(folder / "net.pt2", None, says_pickle=True)
    return IMAGES, {"file": "net.pt2"}, []


def _skops_with_code(folder: Path, marker: Path) -> Any:
    """A skops file that names a function of the system, as its own safety tests have it."""
    skops = pytest.importorskip("skops.io")
    frame = loans(60)
    frame.to_csv(folder / "loans.csv", index=False)
    skops.dump(pipeline(frame), folder / "model.skops")
    with zipfile.ZipFile(folder / "model.skops") as source:
        members = {name: source.read(name) for name in source.namelist()}
    schema = json.loads(members["schema.json"])
    named = {"__class__": "touch", "__module__": "pathlib.Path", "__loader__": "FunctionNode"}
    schema["content"] = {**named, "content": "pathlib.Path.touch"}
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(folder / "model.skops", "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return {"file": "loans.csv", "params": {"target": "default"}}, {"file": "model.skops"}, []


HOSTILE: dict[str, tuple[Make, str]] = {
    "a pickle in npz": (_npz_with_pickle, "holds Python objects"),
    "a member with .. in npz": (_npz_with_dots, "has a member called '../inputs.npy'"),
    "an npz that grows": (_npz_bomb, "MB when it is unpacked"),
    "a pickle among maps": (_maps_with_pickle, "holds Python objects, which can run code"),
    "an image of 10^9 pixels": (_image_bomb, "image 000.png is too large"),
    "PostScript as PNG": (_image_of_another_format, "is not an image"),
    "a link among images": (_link_among_images, "is a link that leads out of its folder"),
    "a folder that is a link": (_folder_that_is_a_link, "is a link that leads out of the folder of the suite"),
    "ONNX with weights outside": (_onnx_weights_elsewhere, "which is outside of its folder"),
    "ONNX with weights by a link": (_onnx_weights_by_a_link, "which is outside of its folder"),
    "ONNX with custom operators": (_onnx_with_custom_operators, "whose code would have to be loaded"),
    "joblib": (_pickled_model, "can run any code when it is opened"),
    "a pickled state dict": (_pickled_state_dict, "does not hold plain weights"),
    "a pickle as TorchScript": (_pickle_as_torchscript, "is not a TorchScript file"),
    "a pickle as safetensors": (_pickle_as_safetensors, "does not hold plain weights"),
    "pt2 with pickled sample inputs": (_exported_with_pickled_inputs, "holds pickled parts"),
    "pt2 that says use_pickle": (_exported_that_says_pickle, "holds pickled parts"),
    "skops with a function": (_skops_with_code, "whose code runs when it is opened"),
}


def written_suite(folder: Path, data: Any, model: Any, explainers: list[Any]) -> Path:
    from xaibench.suite.drafting import draft_suite

    text = draft_suite(data, model, explainers=explainers or ["occlusion"], metrics=["sparseness"], name="hostile")
    (folder / "suite.toml").write_text(text.replace("samples = 32", "samples = 4\ncontrols = false"))
    return folder / "suite.toml"


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_hostile_files_are_refused_and_nothing_is_executed(
    call: Call, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, said = HOSTILE[name]
    folder, marker = tmp_path / "suite", tmp_path / "executed"
    folder.mkdir()
    suite = written_suite(folder, *make(folder, marker))
    code, out, err = call("run", suite, "--store", tmp_path / "store", "-q", "-j", "0")
    assert code in (2, 3)
    assert said in " ".join((out + err).split()), out + err
    assert not marker.exists()


def test_a_marker_marks(tmp_path: Path) -> None:
    """What the tests above plant does make a file, once it is opened without care."""
    pickle.loads(marker_bytes(tmp_path / "a"))
    torch.save(Marker(tmp_path / "b"), tmp_path / "b.pt")
    torch.load(tmp_path / "b.pt", weights_only=False)
    np.savez(tmp_path / "c.npz", a=np.array([Marker(tmp_path / "c")], dtype=object))
    np.load(tmp_path / "c.npz", allow_pickle=True)["a"]
    assert all((tmp_path / name).exists() for name in "abc")


def test_a_pickle_is_opened_where_it_is_trusted(call: Call, tmp_path: Path) -> None:
    frame = loans(80)
    frame.to_csv(tmp_path / "loans.csv", index=False)
    joblib.dump(pipeline(frame), tmp_path / "model.joblib")
    data = {"file": "loans.csv", "params": {"target": "default"}}
    masker = {"name": "occlusion", "params": {"masker": "marginal"}}
    suite = written_suite(tmp_path, data, {"file": "model.joblib"}, [masker])
    arguments = ("run", suite, "--store", tmp_path / "store", "-q", "-j", "0")
    code, _, err = call(*arguments)
    assert (code, "say --trust model.joblib" in err) == (2, True)
    assert call(*arguments, "--trust", tmp_path / "model.joblib")[0] == 0
    assert call("plan", suite, "--store", tmp_path / "store", "--trust", tmp_path / "nothing.joblib")[0] == 2


def test_a_long_table_is_read_in_pieces(tmp_path: Path) -> None:
    """A sample of the rows of a CSV file takes a fraction of the memory that all rows would."""
    import tracemalloc

    row = ",".join(["1.25"] * 20)
    with (tmp_path / "long.csv").open("w") as file:
        file.write(",".join(f"c{i}" for i in range(20)) + "\n")
        for _ in range(300):
            file.write(f"{row}\n" * 1000)
    size = (tmp_path / "long.csv").stat().st_size
    assert size > 25e6
    import xaibench.datasets.files.reading as reading

    patch = pytest.MonkeyPatch()
    patch.setattr(reading, "NUMBERS_PER_PIECE", 100_000)
    tracemalloc.start()
    table = read_table(tmp_path / "long.csv", rows=1000, choose=np.random.default_rng(0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    patch.undo()
    assert (len(table.frame), table.n_rows) == (1000, 300_000)
    assert peak < size / 4


BROKEN_TABLES = {
    "NUL bytes": ("a.csv", b"a,b\0c,target\n1,2,x\n", "NUL bytes"),
    "NUL bytes further down": ("a.csv", b"a,target\n" + b"1,x\n2,y\n" * 50 + b"\0\0\0,x\n", ""),
    "10^5 columns": ("a.csv", ",".join(f"c{i}" for i in range(100_000)).encode() + b"\n", "100,000 columns"),
    "a column twice": ("a.csv", b"a,a,target\n1,2,x\n", "two columns called 'a'"),
    "no rows": ("a.csv", b"a,target\n", "has no rows"),
    "nothing": ("a.csv", b"", "no line with the names"),
    "not text": ("a.csv", bytes(range(128, 256)), "cannot be read as text"),
    "more values than names": ("a.csv", b"a,target\n1,2,3\n1,2,3\n", "more values than there are names"),
    "not Parquet": ("a.parquet", b"PAR1 and nothing else", "cannot be read as parquet"),
    "not Feather": ("a.feather", b"ARROW1", "cannot be read as feather"),
}


@pytest.mark.parametrize("name", BROKEN_TABLES)
def test_broken_tables_are_errors_of_data(tmp_path: Path, name: str) -> None:
    file, content, said = BROKEN_TABLES[name]
    (tmp_path / file).write_bytes(content)
    if not said:
        # Whatever a reader makes of them, they are no number.
        table = read_table(tmp_path / file, rows=1000, choose=np.random.default_rng(0))
        assert table.frame["a"].dtype.kind not in "iu"
        return
    with pytest.raises(DataError, match=said):
        read_table(tmp_path / file, rows=1000, choose=np.random.default_rng(0))


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../../b", "..\\b", "C:\\b"])
def test_names_in_archives(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(DataError, match="has a member called"):
        check_zip(tmp_path / "a.zip")


def test_archives_of_zeros_are_fine_while_they_are_small(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "masks.npz", mask=np.zeros((1000, 64, 64), bool))
    assert len(check_zip(tmp_path / "masks.npz")) == 1


def test_too_much_memory_costs_a_worker_and_not_the_machine(call: Call, tmp_path: Path) -> None:
    """An npz file of zeros that fits the rules and not the memory: the worker ends, its cells say why."""
    images, classes, _ = pictures(24)
    many = np.tile(images[:, None] / np.float32(255), (1, 1, 8, 8))
    np.savez(tmp_path / "data.npz", inputs=np.concatenate([many] * 150), targets=np.tile(classes, 150))
    suite = written_suite(tmp_path, {"file": "data.npz"}, SOFTMAX, [])
    code, out, err = call("run", suite, "--store", tmp_path / "store", "-q", "-j", "1", "--memory", "300MB")
    assert code in (2, 3), out + err
    assert "memory" in out + err or "300" in out + err
