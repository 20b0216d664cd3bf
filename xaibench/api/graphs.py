"""Graphs that a caller gives: arrays as long as the largest graph, or lists of arrays, one per graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.api.raw_rows import padded
from xaibench.api.raw_views import RawSamples
from xaibench.core.errors import DataError, UsageError
from xaibench.core.features import GRAPH_KINDS, infer_layout
from xaibench.core.graphs import EDGE_COUNTS, NODE_COUNTS, belongs_to, check_graphs, graph_sizes
from xaibench.core.raw_rows import RawRows
from xaibench.core.types import Array
from xaibench.models.adapters import as_predictor

_HOW = 'give context={"src": ..., "dst": ...}, the ends of every edge (N, E), or a list with an array for every graph'


@dataclass(frozen=True)
class GraphRows:
    """Graphs as arrays.

    Attributes
    ----------
    inputs : array (N, E) or (N, n, F), float32
    context : mapping of str to array (N, ...)
    counts : mapping of str to array (N,)
        Edges and nodes of each graph, where they were given as lists.
    """

    inputs: Array
    context: Mapping[str, Array]
    counts: Mapping[str, Array]


@dataclass(frozen=True)
class GivenGraphs:
    """Graphs to be explained, and reference graphs.

    Attributes
    ----------
    features : str
    samples : GraphRows
    references : GraphRows or None
    """

    features: str
    samples: GraphRows
    references: GraphRows | None

    @property
    def arrays(self) -> tuple[Array, Mapping[str, Array], Array | None, Mapping[str, Array] | None]:
        """Inputs, context, background and its context."""
        found = self.references
        around = (None, None) if found is None else (found.inputs, found.context)
        return self.samples.inputs, self.samples.context, *around

    def raw(self, model: Any, *, returns: str | None, device: str, batch_size: int | None) -> RawSamples:
        """The graphs as samples of different sizes, with the model that takes them."""
        predictor = as_predictor(model, returns=returns, device=device, batch_size=batch_size)
        where, own, references = predictor.device, self.samples, None
        if self.references is not None:
            values = torch.from_numpy(self.references.inputs).to(where)
            layout = infer_layout(tuple(values.shape[1:]), self.features)
            references = RawRows(
                values, self._sizes(self.references, where), layout, _on(self.references.counts, where)
            )
        return RawSamples(
            predictor,
            torch.from_numpy(own.inputs).to(where),
            own.inputs,
            self._sizes(own, where),
            infer_layout(own.inputs.shape[1:], self.features),
            references,
            _on(own.counts, where),
        )

    def _sizes(self, rows: GraphRows, where: torch.device) -> Tensor:
        sizes, _ = graph_sizes(self.features, rows.inputs, {**rows.context, **rows.counts})
        return torch.from_numpy(sizes).to(where)


def _on(counts: Mapping[str, Array], where: torch.device) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values).to(where) for name, values in counts.items()}


def read_graphs(
    inputs: Any,
    context: Mapping[str, Any] | None,
    background: Any,
    background_context: Mapping[str, Any] | None,
    features: str | None,
) -> GivenGraphs | None:
    """Read graphs; None where ``features`` is not a kind of graphs.

    Raises
    ------
    UsageError
        If the ends of edges are missing, or arrays do not fit together.
    """
    if features not in GRAPH_KINDS:
        return None
    samples = _rows(features, inputs, context, "inputs")
    if background is None:
        if background_context is not None:
            raise UsageError("background_context has no background", "give the reference samples as background=")
        return GivenGraphs(features, samples, None)
    return GivenGraphs(features, samples, _rows(features, background, background_context, "background"))


def _rows(features: str, inputs: Any, context: Mapping[str, Any] | None, name: str) -> GraphRows:
    """Graphs as arrays, checked."""
    beside = "context" if name == "inputs" else "background_context"
    if not isinstance(context, Mapping):
        raise UsageError(f"{name} are graphs, and there is no {beside}=", _HOW)
    own, counts = "edges" if features == "edges" else "nodes", {}
    n = len(inputs) if hasattr(inputs, "__len__") else 0
    rows, lengths = _array(inputs, name, listed=True)
    if lengths is not None:
        counts[own] = lengths
    arrays: dict[str, Array] = {}
    for key, values in context.items():
        if not hasattr(values, "__len__") or len(values) != n:
            shape = len(values) if hasattr(values, "__len__") else type(values).__name__
            raise UsageError(f"{beside} {key!r} has {shape} rows for {n} graphs", "give one row per graph")
        owner = belongs_to(key)
        arrays[key], lengths = _array(values, f"{beside} {key!r}", listed=owner != "graph")
        if lengths is None:
            continue
        known = counts.setdefault(owner, lengths)
        if (known != lengths).any():
            row = int((known != lengths).argmax())
            raise UsageError(
                f"graph {row} has {int(known[row])} {owner}, and {key!r} has {int(lengths[row])} of them",
                f"give a number for each of the {owner}, in one order",
            )
    if rows.ndim < 2:
        raise UsageError(f"{name} have shape {rows.shape}", "give (N, E) weights of edges, or (N, n, F) of nodes")
    infer_layout(rows.shape[1:], features)
    if not np.isfinite(rows).all():
        raise UsageError(f"{name} hold NaN or infinity", "leave these graphs out, or fill in what is missing")
    names = {"edges": EDGE_COUNTS, "nodes": NODE_COUNTS}
    said = {names[owner]: lengths for owner, lengths in counts.items()}
    try:
        check_graphs(features, rows, {**arrays, **said}, name)
    except DataError as error:
        raise UsageError(error.message, error.hint) from error
    return GraphRows(rows.astype(np.float32), arrays, said)


def _array(values: Any, name: str, *, listed: bool) -> tuple[Array, Array | None]:
    """One array, and of a list with an array for every graph their lengths."""
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy(), None
    if isinstance(values, list | tuple) and listed and len(values) and all(np.ndim(_plain(v)) > 0 for v in values):
        parts = [_plain(v) for v in values]
        lengths = np.array([len(p) for p in parts], dtype=np.int64)
        if not lengths.any():
            return np.zeros((len(parts), 0), np.float32), lengths
        return padded(parts, 0, name), lengths
    found = np.asarray(values)
    if found.dtype.kind not in "biuf":
        raise UsageError(f"{name} are not an array of numbers, but of {found.dtype}", _HOW)
    return found, None


def _plain(values: Any) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
