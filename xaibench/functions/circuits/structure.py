"""Edge scores that do not run the network: its weights, and placebos that see only the graph."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
import torch

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.circuits.circuit import Circuit


@interpreter("edge_weights", takes=["circuit"])
def edge_weights(case: CaseView, draws: np.random.Generator) -> Scores:
    """Frobenius norm of what the sender writes times what the input reads (composition of Elhage et al. 2021); no runs.

    Unused nodes read everything, so that large weights say little about the circuit.
    """
    circuit: Circuit = case.given
    norms = [(circuit.writes[edge.sender] @ circuit.reads[edge.input]).norm() for edge in circuit.edges]
    return Scores(torch.stack(norms))


@interpreter("edge_depth", takes=["circuit"], control=True)
def edge_depth(
    case: CaseView,
    draws: np.random.Generator,
    *,
    first: Literal["early receivers", "late receivers", "early senders"] = "early receivers",
) -> Scores:
    """Edges in the order of their depth, a placebo: it sees the graph, and neither weights nor runs.

    Parameters
    ----------
    first : {"early receivers", "late receivers", "early senders"}
        Which edges have the highest scores.
    """
    circuit: Circuit = case.given
    deepest = max(circuit.levels.values())
    ends = [edge.sender if first == "early senders" else edge.receiver for edge in circuit.edges]
    depths = torch.tensor([float(circuit.levels[end]) for end in ends], dtype=torch.float64)
    return Scores(depths if first == "late receivers" else deepest - depths)


@interpreter("edge_degree", takes=["circuit"], control=True)
def edge_degree(case: CaseView, draws: np.random.Generator) -> Scores:
    """Number of edges that leave the sender and that enter the same input, a placebo that sees the graph only."""
    circuit: Circuit = case.given
    leaving, entering = (Counter(ends) for ends in zip(*((e.sender, e.input) for e in circuit.edges), strict=True))
    degrees = [float(leaving[e.sender] + entering[e.input]) for e in circuit.edges]
    return Scores(torch.tensor(degrees, dtype=torch.float64))
