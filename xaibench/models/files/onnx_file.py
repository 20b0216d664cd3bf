"""A model that is an ONNX file, run by onnxruntime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xaibench.core.component_files import SourceFile, of_file, reads_files
from xaibench.core.components import Component
from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import DataError, UnsupportedError, UsageError, did_you_mean
from xaibench.core.extras import install_command
from xaibench.core.trust import file_sha256
from xaibench.core.types import Array
from xaibench.models.files.rows import FileModel, ForeignColumnError, lacking_of_black_box, require_own_columns

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""Domains whose operators onnxruntime itself brings."""
TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_FLOATS = ("tensor(float)", "tensor(double)")
_INSTALL = install_command("onnx")


@reads_files("model", ".onnx")
def onnx_file(file: SourceFile, params: Mapping[str, Any]) -> Component:
    """The model of an ONNX file; its weights may be in files beside it."""

    def load(data: Data, *, output: str = "", pad: bool = False) -> FileModel:
        """An ONNX model.

        Parameters
        ----------
        output : str
            Name of the output that is read; by default the only one of numbers with fractions and two axes.
        pad : bool
            Whether the last batch of a model that was exported for a fixed one is filled with copies.
        """
        return _Reader(file, data, output, pad).model()

    beside = external_files(file.path)
    content = [f"sha256:{file_sha256(path)}" for path in beside]
    lacking = lacking_of_black_box("an ONNX model")
    function = of_file(load, file, *content)
    return ModelSpec(file.name, function, provides=frozenset(), fitted=True, lacking=lacking)


def external_files(path: Path) -> list[Path]:
    """Files with weights that a model names, after a look at its operators.

    Raises
    ------
    DataError
        If this is not ONNX, or weights are outside the folder of the model.
    UsageError
        If operators are not those of ONNX and onnxruntime: their code would have to be loaded.
    UnsupportedError
        If onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise UsageError("ONNX models need the packages onnx and onnxruntime", _INSTALL) from error
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # The parser of Protobuf has errors of its own.
        raise DataError(f"{path.name} is not an ONNX model: {error}") from error
    if not model.graph.node and not model.graph.input:
        raise DataError(f"{path.name} is not an ONNX model: its graph is empty")
    own = {(f.domain, f.name) for f in model.functions}
    graphs = [model.graph, *model.functions]
    nodes = [node for graph in graphs for node in _nodes(graph)]
    for node in nodes:
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
            raise UsageError(
                f"{path.name} uses the operator {node.op_type} of {node.domain!r}, whose code would have to be loaded",
                "export the model with operators of ONNX only",
            )
    found: dict[Path, None] = {}
    for tensor in _tensors(model.graph, nodes):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((e.value for e in tensor.external_data if e.key == "location"), "")
        place = path.parent / location
        real = place.resolve()
        if Path(location).is_absolute() or not real.is_relative_to(path.parent.resolve()):
            raise DataError(
                f"{path.name} wants weights from {location}, which is outside of its folder",
                "put the file with the weights beside the model",
            )
        if not real.is_file():
            raise DataError(
                f"{path.name} wants weights from {location}, which is not there", "copy it beside the model"
            )
        found[real] = None
    return sorted(found)


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any, nodes: list[Any]) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer
                for sparse in inner.sparse_initializer:
                    yield from (sparse.values, sparse.indices)


class Session:
    """A session of onnxruntime with one thread, opened again in every process that needs it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": None}

    @property
    def runtime(self) -> Any:
        """The session of this process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), self._open()
        return self._opened[1]

    def _open(self) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise UsageError("ONNX models need the packages onnx and onnxruntime", _INSTALL) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own types of errors have no common base.
            said = str(error).partition("\n")[0]
            raise UsageError(f"{self.path.name} cannot be opened by onnxruntime: {said}") from error

    def run(self, output: str, feed: Mapping[str, Array]) -> Any:
        return self.runtime.run([output], dict(feed))[0]


class _Reader:
    """Fits an ONNX model to data: which input gets what, and which output is read."""

    def __init__(self, file: SourceFile, data: Data, output: str, pad: bool) -> None:
        self.name = file.name
        self.session = Session(file.path)
        self.data = data
        require_own_columns(data, self.name)
        self.of_input: dict[str, str] = {}
        self.inputs = self.session.runtime.get_inputs()
        self.output = self._output(output)
        self.batch = self._batch(pad)
        for given in self.inputs:
            if given.type not in TYPES:
                raise UsageError(f"input {given.name!r} of {self.name} takes {given.type}, which is not supported")

    def model(self) -> FileModel:
        """The model as a function of inputs (N, ...)."""
        self._check_inputs()
        regression = self.data.test_values is not None
        return FileModel(self._predict, "value" if regression else "logit")

    def _output(self, wanted: str) -> str:
        outputs = self.session.runtime.get_outputs()
        names = [o.name for o in outputs]
        if wanted:
            if wanted not in names:
                raise UsageError(f"{self.name} has no output {wanted!r}", did_you_mean(wanted, names))
            chosen = next(o for o in outputs if o.name == wanted)
            self._check_output(chosen)
            return wanted
        maps = [o for o in outputs if o.type.startswith("seq(map")]
        floats = [o for o in outputs if o.type in _FLOATS and len(o.shape) == 2]
        if len(floats) == 1:
            return str(floats[0].name)
        if not floats and maps:
            self._check_output(maps[0])
        listed = ", ".join(f"{o.name} ({o.type})" for o in outputs)
        raise UsageError(
            f"{self.name} has {len(floats) or 'no'} outputs of numbers with two axes; its outputs are {listed}",
            'choose one: params = { output = "..." }',
        )

    def _check_output(self, chosen: Any) -> None:
        if chosen.type.startswith("seq(map"):
            raise UsageError(
                f"output {chosen.name!r} of {self.name} is a list of dictionaries",
                "export a scikit-learn model with options={'zipmap': False}",
            )
        if chosen.type not in _FLOATS:
            raise UsageError(
                f"output {chosen.name!r} of {self.name} is {chosen.type}: labels are not scores that can be explained",
                "choose the output with probabilities, logits or values",
            )

    def _batch(self, pad: bool) -> int | None:
        """The batch that the model was exported for, None for any."""
        first = [given.shape[0] for given in self.inputs if given.shape]
        fixed = next((n for n in first if isinstance(n, int) and n > 0), None)
        if fixed is not None and fixed > 1 and not pad:
            raise UsageError(
                f"{self.name} was exported for batches of {fixed}",
                "export it with a dynamic batch axis, or say params = { pad = true }",
            )
        return fixed

    def _check_inputs(self) -> None:
        """Raise UsageError unless the model's inputs are the columns of the table, or one array."""
        names = [given.name for given in self.inputs]
        known = list(self.data.feature_names) if self.data.features == "table" else []
        if known and (len(names) > 1 or names[0] in known):
            self._match(known)
            return
        if len(names) > 1:
            raise UsageError(
                f"{self.name} has {len(names)} inputs ({', '.join(names[:6])}), and the data set has one array",
                "models with several inputs are given in Python; see docs/how-to/texts-and-several-inputs.md",
            )
        shape = list(self.inputs[0].shape)[1:]
        actual = self.data.input_shape
        fits = len(shape) == len(actual) and all(
            not isinstance(n, int) or n == m for n, m in zip(shape, actual, strict=True)
        )
        if shape and not fits:
            raise UsageError(
                f"{self.name} takes inputs of shape (N, {', '.join(map(str, shape))}), the data are (N, "
                f"{', '.join(map(str, actual))})",
                "columns that the model does not take are named in drop = [...]" if known else "see size and axes",
            )
        text = [] if self.data.codec is None else [c.name for c in self.data.codec.columns if c.kind == "category"]
        if text and self.inputs[0].type != "tensor(string)":
            raise UsageError(
                f"{self.name} takes one array of numbers, and column {text[0]!r} holds categories",
                "export the whole pipeline, with an input for every column",
            )

    def _match(self, known: list[str]) -> None:
        """Inputs of the model by the names of columns, which exporters may have changed to letters, digits and _."""
        by_plain = {_plain(name): name for name in known}
        self.of_input = {given.name: by_plain.get(_plain(given.name), "") for given in self.inputs}
        for name, column in self.of_input.items():
            if not column:
                raise UsageError(
                    f"{self.name} has an input {name!r}, and the data set no such column", did_you_mean(name, known)
                )
        extra = [name for name in known if name not in self.of_input.values()]
        if extra:
            raise ForeignColumnError(self.name, extra[0])

    def _predict(self, inputs: Any) -> Array:
        if self.batch is None:
            return self._run(inputs)
        parts = []
        for start in range(0, len(inputs), self.batch):
            # The last batch is filled with copies of its last row.
            rows = np.minimum(np.arange(start, start + self.batch), len(inputs) - 1)
            piece = inputs.iloc[rows] if hasattr(inputs, "iloc") else inputs[rows]
            parts.append(self._run(piece)[: len(inputs) - start])
        return np.concatenate(parts)

    def _run(self, inputs: Any) -> Array:
        return np.asarray(self.session.run(self.output, self._feed(inputs)))

    def _feed(self, inputs: Any) -> dict[str, Array]:
        """What the session is given for an array (N, ...), or for a data frame."""
        frame = hasattr(inputs, "iloc")
        if not self.of_input:
            given = self.inputs[0]
            return {given.name: _cast(inputs.to_numpy() if frame else inputs, given.type, given.name)}
        names = list(self.data.feature_names)
        columns = {g.name: self.of_input[g.name] for g in self.inputs}
        values = {n: inputs[c].to_numpy() if frame else inputs[:, names.index(c)] for n, c in columns.items()}
        return {g.name: _column(values[g.name], g) for g in self.inputs}


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _column(values: Array, given: Any) -> Array:
    """A column (N, 1), or (N,) where the model takes that."""
    found = _cast(values, given.type, given.name)
    return found if len(given.shape) == 1 else found.reshape(-1, 1)


def _cast(values: Array, wanted: str, name: str) -> Array:
    """Values in the number type of an input; nothing is rounded.

    Raises
    ------
    UnsupportedError
        If whole numbers are wanted, and these have fractions or are missing.
    """
    kind = TYPES[wanted]
    if kind is np.object_:
        if any(value is None or value != value for value in values.flat):
            raise UnsupportedError(f"input {name!r} of the model takes texts, and one is missing")
        return np.array([str(value) for value in values.flat], object).reshape(values.shape)
    numbers = values.astype(np.float64) if values.dtype == object else values
    if kind in (np.int64, np.int32, np.bool_) and numbers.dtype.kind == "f":
        wrong = ~np.isfinite(numbers) | (numbers != np.rint(numbers))
        if bool(wrong.any()):
            raise UnsupportedError(
                f"input {name!r} of the model takes whole numbers, and was given {numbers[wrong].flat[0]:.4g}",
                'use a masker that puts values of other rows in place, masker = "marginal"',
            )
    return np.ascontiguousarray(numbers.astype(kind))
