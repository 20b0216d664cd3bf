"""Edge patching and ACDC (Conmy et al. 2023): replace messages one at a time, or greedily from the output back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.circuits.circuit import Ablation, Circuit, output_distance

THRESHOLDS = (1e-5, 0.01, 0.1, 0.5)
"""Costs that pruning tolerates per edge, as shares of what it costs to ablate every edge."""


@interpreter("edge_patching", takes=["circuit"])
def edge_patching(case: CaseView, draws: np.random.Generator, *, ablation: Ablation = "zero") -> Scores:
    """Squared change of the output when the message of one edge is ablated, all else as it is (activation patching).

    Blind to edges that another one can stand in for. One run per edge.
    """
    circuit: Circuit = case.given
    messages, clean = circuit.ablated_messages(ablation), circuit.run(circuit.inputs)[0].detach()
    single = torch.eye(len(circuit.edges), dtype=torch.bool)
    return Scores(
        torch.tensor([output_distance(circuit.output_without(edge, messages), clean) for edge in single]).double()
    )


@interpreter("acdc", takes=["circuit"])
def acdc(case: CaseView, draws: np.random.Generator, *, ablation: Ablation = "zero") -> Scores:
    """Largest threshold at which automatic circuit discovery keeps an edge (ACDC, Conmy et al. 2023, algorithm 1).

    From the output backwards every edge is ablated, and stays so if that costs less than the threshold:
    the squared change of the output, as a share of the change when every edge is ablated. Thresholds are
    1e-5, .01, .1 and .5; an edge that none of them keeps has 0. Of two edges that stand in for each other
    one is dropped. One run per edge and threshold.
    """
    circuit: Circuit = case.given
    messages, clean = circuit.ablated_messages(ablation), circuit.run(circuit.inputs)[0].detach()
    everything = output_distance(circuit.output_without(torch.ones(len(circuit.edges)), messages), clean)
    found = torch.zeros(len(circuit.edges), dtype=torch.float64)
    if everything > 0:
        for threshold in THRESHOLDS:
            found[_kept(circuit, messages, clean, threshold * everything)] = threshold
    return Scores(found)


def _kept(circuit: Circuit, messages: Tensor, clean: Tensor, tolerated: float) -> Tensor:
    """Which edges (E,) are left when each one that costs less than is tolerated has been removed."""
    removed = torch.zeros(len(circuit.edges), dtype=torch.bool)
    cost = 0.0
    for i in sorted(range(len(circuit.edges)), key=lambda i: (-circuit.levels[circuit.edges[i].receiver], -i)):
        removed[i] = True
        with_it = output_distance(circuit.output_without(removed, messages), clean)
        if with_it - cost < tolerated:
            cost = with_it
        else:
            removed[i] = False
    return ~removed
