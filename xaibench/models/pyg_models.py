"""Models and graphs of torch_geometric, ready to be explained by their edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from xaibench.core.errors import DataError, UnsupportedError, UsageError
from xaibench.core.extras import install_command
from xaibench.core.outputs import Returns
from xaibench.core.predictor import TorchPredictor
from xaibench.core.types import Array
from xaibench.models.edge_features import EdgeFeatures, computation_graph, merge_directions
from xaibench.models.pyg_module import PyGModule, Weighting, forward_arguments

MESSAGE = "message"
N_TRIED, N_REMOVED = 3, 4
"""Graphs on which a model is tried, and edges of each that are removed."""
SAME_OUTPUT = 1e-4
"""Outputs that differ by less, relative to the largest, differ by rounding."""


class PyGProblem(NamedTuple):
    """A model of torch_geometric and graphs, as `xaibench.Problem` and the other functions take them.

    Attributes
    ----------
    model : TorchPredictor
        To be given as ``model=``.
    inputs : array (N, E), float32
        Weights of the edges: 1, and 0 behind the end of a shorter list.
    context : dict of array
        ``src``, ``dst``, ``x``, ``nodes`` and what else the model reads of a graph.
    """

    model: TorchPredictor
    inputs: Array
    context: dict[str, Array]


def from_pyg(
    model: nn.Module,
    data_list: Any,
    kind: Literal["graph", "node"] = "graph",
    index: Sequence[int] | None = None,
    *,
    edge_weight: str | None = "edge_weight",
    returns: Returns | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
) -> PyGProblem:
    """A model of torch_geometric and its graphs, with the edges as features.

    Both directions of an edge are one feature: they are removed and explained together. A column of the ``edge_index``
    without a counterpart, and a self-loop, is a feature of its own. Edges are in the order in which they first appear.

    Removing an edge must be the same as a graph without it. Where the model's forward takes ``edge_weight``, and a
    weight of 0 is found to be just that, weights go there, and the model has gradients: so it is with GCNConv and
    GraphConv. Everywhere else (GINConv, GATConv, models that average over neighbours) removed edges are left out of the
    list: explainers by removal and metrics are exact, and gradients are unavailable.

    Parameters
    ----------
    model : torch.nn.Module
        Whose forward takes ``x``, ``edge_index``, and for graphs ``batch``; also ``edge_weight`` and ``edge_attr``, or
        a single argument ``data``.
    data_list : sequence of torch_geometric.data.Data, or one of them
        Graphs with ``x`` and ``edge_index``, and ``edge_weight`` and ``edge_attr`` where the model reads them.
    kind : {"graph", "node"}
        Whether a row of the output is a graph's or a node's.
    index : sequence of int, optional
        With ``kind="node"``, and one graph: the nodes to explain, by default all. Each becomes a sample, with the part
        of the graph from which messages reach it.
    edge_weight : str or None
        Name of the argument for the weights of edges; None: edges are always left out. "message" multiplies the
        messages of all layers, as the explainers of torch_geometric do, where that is the same as removal: it is with
        GINConv, and not with GCNConv, which has counted the edge's ends by then.
    returns : {"logit", "multilabel_logit", "probability", "value"}, optional
        What the model's numbers are; by default its outputs decide.
    device, batch_size
        Never change a result beyond rounding.

    Returns
    -------
    PyGProblem
        Model, inputs and context.

    Raises
    ------
    UnsupportedError
        If torch_geometric is not installed.
    UsageError
        If the model cannot be called, or what is asked of ``edge_weight`` is not the removal of edges.
    DataError
        If a graph has no node features or no edges.

    Examples
    --------
    >>> import pytest, torch, xaibench as xb
    >>> geometric = pytest.importorskip("torch_geometric")
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = geometric.nn.GraphConv(1, 2)
    ...     def forward(self, x, edge_index, edge_weight=None, batch=None):
    ...         return geometric.nn.global_add_pool(self.conv(x, edge_index, edge_weight), batch)
    >>> ring = geometric.data.Data(torch.ones(3, 1), torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]]))
    >>> model, inputs, context = xb.from_pyg(Net(), [ring], returns="logit")
    >>> inputs.tolist(), context["src"].tolist(), context["dst"].tolist()
    ([[1.0, 1.0, 1.0]], [[0, 1, 2]], [[1, 2, 0]])
    """
    _require_pyg()
    if kind not in ("graph", "node"):
        raise UsageError(f"unknown kind {kind!r}", "known: graph, node")
    node_task = kind == "node"
    forward_arguments(model, edge_weight or "edge_weight", node_task=node_task)
    graphs = _checked(data_list)
    if node_task:
        return _of_nodes(model, graphs, index, edge_weight, returns, device, batch_size)
    if index is not None:
        raise UsageError("index= chooses nodes, and kind is 'graph'", 'choose from data_list, or say kind="node"')
    samples = [_Sample.of(graph) for graph in graphs]
    inputs, context = _stacked(samples)
    whole = [_outputs(model, graph, node_task=False) for graph in graphs[:N_TRIED]]
    module = _weighted(model, inputs, context, edge_weight, node_task=False)
    _check_same(module, inputs, context, torch.cat(whole), "the graphs")
    return PyGProblem(_predictor(module, returns, device, batch_size), inputs, context)


def _require_pyg() -> None:
    try:
        import torch_geometric  # noqa: F401
    except ImportError as error:
        raise UnsupportedError("models of torch_geometric need the package", install_command("graph")) from error


def _checked(data_list: Any) -> list[Any]:
    """The graphs, each with node features and edges."""
    graphs = [data_list] if hasattr(data_list, "edge_index") else list(data_list)
    if not graphs:
        raise DataError("there are no graphs", "give at least one torch_geometric.data.Data")
    for number, graph in enumerate(graphs):
        edges = getattr(graph, "edge_index", None)
        if not isinstance(edges, Tensor):
            raise DataError(f"graph {number} has no edge_index", "give torch_geometric.data.Data, of one type of node")
        if not isinstance(getattr(graph, "x", None), Tensor) or graph.x.ndim != 2:
            raise DataError(f"graph {number} has no node features x (n, F)", "constant ones will do")
        if edges.shape[1] == 0:
            raise DataError(f"graph {number} has no edges, so there is nothing to explain", "leave such graphs out")
        if int(edges.max()) >= len(graph.x) or int(edges.min()) < 0:
            raise DataError(
                f"graph {number} has {len(graph.x)} nodes and an edge to node {int(edges.max())}",
                "give a row of x for every node",
            )
    return graphs


class _Sample(NamedTuple):
    """One sample: a graph, or the part of one from which messages reach a node."""

    edges: EdgeFeatures
    x: Array
    given_weight: Array | None
    attributes: Array | None

    @staticmethod
    def of(graph: Any, nodes: Array | None = None, columns: Array | None = None) -> _Sample:
        edge_index, x = graph.edge_index.cpu().numpy(), _numbers(graph.x).numpy()
        beside = {}
        for name in ("edge_weight", "edge_attr"):
            values = getattr(graph, name, None)
            beside[name] = None if values is None else values.detach().cpu().float().numpy()
        if nodes is not None and columns is not None:
            number = np.full(len(x), -1)
            number[nodes] = np.arange(len(nodes))
            edge_index, x = number[edge_index[:, columns]], x[nodes]
            beside = {name: None if values is None else values[columns] for name, values in beside.items()}
        edges = merge_directions(edge_index)
        weight, attributes = beside["edge_weight"], beside["edge_attr"]
        return _Sample(
            edges,
            x,
            None if weight is None else edges.per_direction(weight.reshape(-1)),
            None if attributes is None else edges.per_direction(attributes),
        )


def _numbers(values: Tensor) -> Tensor:
    """Numbers on the CPU, float32 if they have fractions; whole numbers stay."""
    values = values.detach().cpu()
    return values.float() if values.is_floating_point() else values


def _stacked(samples: Sequence[_Sample]) -> tuple[Array, dict[str, Array]]:
    """Weights and context of samples, padded to the largest."""
    n, n_edges = len(samples), max(len(s.edges) for s in samples)
    n_nodes = max(len(s.x) for s in samples)
    inputs = np.zeros((n, n_edges), dtype=np.float32)
    context: dict[str, Array] = {
        "src": np.zeros((n, n_edges), dtype=np.int64),
        "dst": np.zeros((n, n_edges), dtype=np.int64),
        "edge_both": np.zeros((n, n_edges), dtype=bool),
        "x": np.zeros((n, n_nodes, samples[0].x.shape[1]), dtype=samples[0].x.dtype),
        "nodes": np.zeros((n, n_nodes), dtype=bool),
    }
    for name, field in (("edge_given_weight", "given_weight"), ("edge_attributes", "attributes")):
        values = getattr(samples[0], field)
        if any((getattr(s, field) is None) != (values is None) for s in samples):
            raise DataError(f"some graphs have {field.replace('_', ' ')}s of edges and others have none")
        if values is not None:
            context[name] = np.zeros((n, n_edges, *values.shape[1:]), dtype=np.float32)
    for row, sample in enumerate(samples):
        e, size = len(sample.edges), len(sample.x)
        inputs[row, :e] = 1.0
        context["src"][row, :e], context["dst"][row, :e] = sample.edges.src, sample.edges.dst
        context["edge_both"][row, :e] = sample.edges.both
        context["x"][row, :size], context["nodes"][row, :size] = sample.x, True
        if sample.given_weight is not None:
            context["edge_given_weight"][row, :e] = sample.given_weight
        if sample.attributes is not None:
            context["edge_attributes"][row, :e] = sample.attributes
    return inputs, context


def _of_nodes(
    model: nn.Module,
    graphs: list[Any],
    index: Sequence[int] | None,
    edge_weight: str | None,
    returns: Returns | None,
    device: torch.device | str,
    batch_size: int | None,
) -> PyGProblem:
    """Nodes of one graph, each with as many steps around it as its output needs."""
    if len(graphs) != 1:
        raise UsageError(f"nodes of one graph are explained, and {len(graphs)} were given", "call once for each graph")
    (graph,) = graphs
    chosen = range(len(graph.x)) if index is None else [int(i) for i in index]
    if not len(chosen) or min(chosen) < 0 or max(chosen) >= len(graph.x):
        raise UsageError(f"index names a node that the graph of {len(graph.x)} nodes does not have")
    whole = _outputs(model, graph, node_task=True)[torch.tensor(list(chosen))]
    edge_index, layers = graph.edge_index.cpu().numpy(), _n_layers(model)
    for hops in (layers, layers + 1):
        samples = []
        for node in chosen:
            nodes, columns = computation_graph(edge_index, len(graph.x), node, hops)
            if not len(columns):
                raise DataError(f"no edge ends at node {node}, so there is nothing to explain", "leave it out of index")
            samples.append(_Sample.of(graph, nodes, columns))
        inputs, context = _stacked(samples)
        context["target"] = np.zeros(len(inputs), dtype=np.int64)
        module = _weighted(model, inputs, context, edge_weight, node_task=True)
        # Degrees of the outermost nodes need one step more than there are layers.
        if hops > layers or _gap(_called(module, inputs, context), whole) <= _allowed(whole):
            break
    _check_same(module, inputs, context, whole, "the parts of the graph around the nodes")
    return PyGProblem(_predictor(module, returns, device, batch_size), inputs, context)


def _n_layers(model: nn.Module) -> int:
    from torch_geometric.nn import MessagePassing

    found = sum(isinstance(layer, MessagePassing) for layer in model.modules())
    if not found:
        raise UsageError("the model has no layer that passes messages", "explain it as a model of tables")
    return found


def _weighted(
    model: nn.Module, inputs: Array, context: dict[str, Array], edge_weight: str | None, *, node_task: bool
) -> PyGModule:
    """The model, with weights where a weight of 0 is the removal of an edge; else removed edges are left out."""
    argument = edge_weight if edge_weight not in (None, MESSAGE) else "edge_weight"
    assert argument is not None
    left_out = PyGModule(model, "none", argument, node_task=node_task)
    if edge_weight is None:
        return left_out
    weighting: Weighting = "message" if edge_weight == MESSAGE else "argument"
    if weighting == "argument" and argument not in left_out.takes:
        return left_out
    module = PyGModule(model, weighting, argument, node_task=node_task)
    gap, allowed = _removal_gap(module, left_out, inputs, context)
    if gap <= allowed:
        return module
    if weighting == "message":
        raise UsageError(
            f"a message of weight 0 is not a removed edge for this model: its output differs by {gap:.2g}",
            "leave edge_weight out: edges are then removed from the list",
        )
    return left_out


def _removal_gap(
    module: PyGModule, left_out: PyGModule, inputs: Array, context: dict[str, Array]
) -> tuple[float, float]:
    """How far outputs with a weight of 0 are from those without the edge, at most, and how far rounding allows."""
    gap = allowed = 0.0
    for row in range(min(len(inputs), N_TRIED)):
        n_edges = int(inputs[row].sum())
        removed = sorted({int(i) for i in np.linspace(0, n_edges - 1, N_REMOVED)})
        copies = np.repeat(inputs[row : row + 1], len(removed), axis=0)
        copies[range(len(removed)), removed] = 0.0
        beside = {name: np.repeat(values[row : row + 1], len(removed), axis=0) for name, values in context.items()}
        exact = _called(left_out, copies, beside)
        gap = max(gap, _gap(_called(module, copies, beside), exact))
        allowed = max(allowed, _allowed(exact))
    return gap, allowed


def _check_same(module: PyGModule, inputs: Array, context: dict[str, Array], whole: Tensor, what: str) -> None:
    """Raise UsageError unless the module gives what the model itself gives."""
    n = len(whole)
    found = _called(module, inputs[:n], {name: values[:n] for name, values in context.items()})
    gap = _gap(found, whole)
    if gap > _allowed(whole):
        raise UsageError(
            f"the model gives other outputs for {what} in one batch than for the data as they are, by {gap:.2g}",
            "the model must not mix the graphs of a batch, nor read more of the data than x, edge_index, edge_weight "
            "and edge_attr, nor reach further than its layers",
        )


def _outputs(model: nn.Module, graph: Any, *, node_task: bool) -> Tensor:
    """What the model itself says of a graph as it is: (1, C), or (n, C)."""
    given: dict[str, Any] = {"x": _numbers(graph.x), "edge_index": graph.edge_index}
    names = forward_arguments(model, "edge_weight", node_task=node_task)
    given |= {
        name: getattr(graph, name)
        for name in ("edge_weight", "edge_attr")
        if name in names and getattr(graph, name, None) is not None
    }
    batch = torch.zeros(len(graph.x), dtype=torch.int64)
    if "data" in names:
        graph = graph.clone()
        graph.batch = batch
        given = {"data": graph}
    elif "batch" in names:
        given["batch"] = batch
    mode = model.training
    try:
        with torch.no_grad():
            out: Tensor = model.eval()(**given)
    finally:
        model.train(mode)
    return out


def _called(module: PyGModule, inputs: Array, context: dict[str, Array]) -> Tensor:
    """Outputs of the module in evaluation mode, whatever mode its model is in."""
    mode = module.model.training
    try:
        module.model.eval()
        with torch.no_grad():
            beside = {name: torch.from_numpy(values) for name, values in context.items()}
            out: Tensor = module(torch.from_numpy(inputs), **beside)
    finally:
        module.model.train(mode)
    return out


def _predictor(
    module: PyGModule, returns: Returns | None, device: torch.device | str, batch_size: int | None
) -> TorchPredictor:
    made = TorchPredictor(module, returns or "logit", device=device, batch_size=batch_size)
    made.returns_assumed = returns is None
    return made


def _gap(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max())


def _allowed(wanted: Tensor) -> float:
    return SAME_OUTPUT * max(1.0, float(wanted.abs().max()))
