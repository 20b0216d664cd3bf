"""A look at a model of graphs: an edge of weight 0 must be no edge, and the order of the list must not matter."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UsageError
from xaibench.core.graphs import belongs_to, cut_sample
from xaibench.core.problem import Samples
from xaibench.core.user_errors import described

N_GRAPHS, N_EDGES = 3, 4
"""Graphs that are tried, and edges of each that are left out."""
RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""Outputs that differ by less, relative to the largest or absolutely, are equal but for rounding."""


def check_edges(samples: Samples) -> None:
    """Try whether removing an edge by weight 0 is the same as a list without it; other data are left alone.

    Copies of a graph with one edge each at weight 0, evaluated together, are compared with the lists that lack the
    edge, evaluated alone. This also finds models that mix the graphs of a batch.

    Raises
    ------
    UsageError
        If it is not, or the output depends on the order of the edges.
    """
    if samples.layout.kind != "edges":
        return
    for row in range(min(len(samples), N_GRAPHS)):
        _check(samples, row)


def _check(samples: Samples, row: int) -> None:
    context = cut_sample(samples.context, row, samples.inputs, "edges")
    n = context["src"].shape[1]
    weights = samples.inputs[row : row + 1, :n]
    left_out = sorted({int(i) for i in torch.linspace(0, n - 1, N_EDGES).tolist()}) if n > 1 else []
    all_edges = torch.arange(n, device=weights.device)
    clean = samples.model.predict(weights, context)
    turned = _outputs(samples, weights, context, all_edges.flip(0), row)
    if _differ(clean, turned):
        raise UsageError(
            f"the model's output of sample {row} depends on the order of the list of edges",
            "sum, average or maximise over edges; do not read them by their place",
        )
    if not left_out:
        return
    copies = weights.repeat(len(left_out), 1)
    copies[range(len(left_out)), left_out] = 0
    several = {name: values.repeat(len(left_out), *(1,) * (values.ndim - 1)) for name, values in context.items()}
    at_zero = samples.model.predict(copies, several)
    for edge, found in zip(left_out, at_zero, strict=True):
        shorter = _outputs(samples, weights, context, all_edges[all_edges != edge], row)
        if _differ(found[None], shorter):
            gap = float((found - shorter[0]).abs().max())
            raise UsageError(
                f"the model reads edges of weight 0: without edge {edge} of sample {row} its output is another one than"
                f" with weight 0, by {gap:.2g}",
                "multiply what an edge sends by its weight and take degrees from the weights; every row of a batch is a"
                " graph of its own",
            )


def _outputs(samples: Samples, weights: Tensor, context: dict[str, Tensor], chosen: Tensor, row: int) -> Tensor:
    """Raw outputs (1, C) of a graph with the chosen edges only, in this order."""
    beside = {name: values[:, chosen] if belongs_to(name) == "edges" else values for name, values in context.items()}
    try:
        return samples.model.predict(weights[:, chosen], beside)
    except Exception as error:
        raise UsageError(
            f"the model does not take {len(chosen)} of the {weights.shape[1]} edges of sample {row}:"
            f" {described(error)}",
            "a model of graphs takes lists of any length",
        ) from error


def _differ(one: Tensor, other: Tensor) -> bool:
    allowed = RELATIVE * float(one.abs().max()) + ABSOLUTE
    return not bool(((one - other).abs() <= allowed).all())
