"""Files as users have them: a table with categories, a pipeline, a small CNN, images with masks, and hostile ones."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from xaibench.core.types import Array


def loans(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """A table with two numbers, two texts and a column ``default`` of yes and no that they decide but for noise."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "income": rng.normal(50, 10, n).round(2),
            "purpose": rng.choice(["car", "house", "study"], n),
            "region": rng.choice(["n", "s"], n),
        }
    )
    score = 0.06 * (frame["age"] - 45) + 0.08 * (frame["income"] - 50)
    score += frame["purpose"].map({"car": 1.5, "house": -1.5, "study": 0.0})
    frame["default"] = np.where(score + 0.4 * rng.logistic(size=n) > 0, "yes", "no")
    return frame


def pipeline(frame: pd.DataFrame, *, regression: bool = False) -> Any:
    """A linear pipeline that was fitted to the table; the regression is of income."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    target = "income" if regression else "default"
    inputs = frame.drop(columns=[target, *(["default"] if regression else [])])
    numbers = [c for c in inputs.columns if pd.api.types.is_numeric_dtype(inputs[c])]
    texts = [c for c in inputs.columns if c not in numbers]
    encoder = OneHotEncoder(sparse_output=False)
    columns = ColumnTransformer([("numbers", StandardScaler(), numbers), ("texts", encoder, texts)])
    model = LinearRegression() if regression else LogisticRegression()
    return make_pipeline(columns, model).fit(inputs, frame[target])


def save_onnx(model: Any, frame: pd.DataFrame, path: Path, **options: Any) -> None:
    """A pipeline as ONNX, with an input for every column."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType

    def kind(column: Any) -> Any:
        if not pd.api.types.is_numeric_dtype(column):
            return StringTensorType([None, 1])
        return Int64TensorType([None, 1]) if column.dtype.kind == "i" else FloatTensorType([None, 1])

    types = [(name, kind(frame[name])) for name in model.feature_names_in_]
    path.write_bytes(to_onnx(model, initial_types=types, **options).SerializeToString())


def net() -> nn.Sequential:
    """A CNN on 12 x 12 pixels with weights that do not change."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, 2))
        return nn.Sequential(*layers).eval()


def save_onnx_net(
    path: Path, *, batch: int | str = "N", domain: str = "", location: str | None = None, beside: bool = False
) -> None:
    """The net as ONNX; ``location`` puts its weights into that file, by name only unless they are ``beside``."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = {name: tensor.detach().numpy() for name, tensor in net().state_dict().items()}
    stored = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    nodes = [
        helper.make_node("Conv", ["x", "0.weight", "0.bias"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"], domain=domain),
        # Averages over 3 x 3 places of 10 x 10 pixels are not those of one kernel size: torch's bins overlap.
        *_adaptive_average("b", "c"),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "4.weight", "4.bias"], ["logits"], transB=1),
    ]
    bins = numpy_helper.from_array(_bins(10, 3).astype(np.float32), "bins")
    turned = numpy_helper.from_array(_bins(10, 3).T.astype(np.float32).copy(), "bins_turned")
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 12, 12])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 2])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [*stored, bins, turned])
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if location is not None and beside:
        onnx.save(model, str(path), save_as_external_data=True, location=location, size_threshold=0)
        return
    if location is not None:
        for tensor in model.graph.initializer:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=location)
            tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())


def _adaptive_average(source: str, target: str) -> list[Any]:
    from onnx import helper

    return [
        helper.make_node("MatMul", ["bins", source], [f"{target}_rows"]),
        helper.make_node("MatMul", [f"{target}_rows", "bins_turned"], [target]),
    ]


def _bins(n: int, m: int) -> Array:
    """Weights (m, n) of torch's adaptive average: from floor(i n / m) to ceil((i + 1) n / m)."""
    found = np.zeros((m, n))
    for i in range(m):
        start, end = i * n // m, -((-(i + 1) * n) // m)
        found[i, start:end] = 1 / (end - start)
    return found


def pictures(n: int = 40, seed: int = 0) -> tuple[Array, Array, Array]:
    """Grey images (n, 12, 12) of uint8, their classes, and the places (n, 12, 12) that decide."""
    rng = np.random.default_rng(seed)
    classes = np.arange(n) % 2
    images = rng.integers(40, 80, (n, 12, 12))
    places = np.zeros((n, 12, 12), dtype=bool)
    for i, one in enumerate(classes):
        row, column = rng.integers(0, 9, 2)
        images[i, row : row + 4, column : column + 4] += 100 * (np.indices((4, 4))[0] % 2 if one else 1)
        places[i, row : row + 4, column : column + 4] = True
    return images.astype(np.uint8), classes, places


def save_pictures(folder: Path, n: int = 40) -> None:
    """Images in folders ``scans/even`` and ``scans/odd``, and their masks in ``masks``."""
    from PIL import Image

    images, classes, places = pictures(n)
    for i, one in enumerate(classes):
        name = f"{'odd' if one else 'even'}/{i:03}.png"
        for top, values in (("scans", images[i]), ("masks", places[i].astype(np.uint8) * 255)):
            (folder / top / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(folder / top / name)


class Marker:
    """Unpickling it makes a file: nothing that was executed leaves none."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def marker_bytes(path: Path) -> bytes:
    """A pickle that makes a file when it is opened."""
    return pickle.dumps(Marker(path))


def large_png(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
