"""Edge attribution patching, EAP and EAP-IG: effects of ablating edges, to first order or along a path."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.circuits.circuit import LEAKAGE, Ablation, Circuit


@interpreter("edge_attribution", takes=["circuit"])
def edge_attribution(
    case: CaseView,
    draws: np.random.Generator,
    *,
    ablation: Ablation = "zero",
    steps: PositiveInt = 1,
    score: Literal["projection", "distance"] = "projection",
) -> Scores:
    """Gradient of the output times the change of each message (EAP, Syed et al. 2023; EAP-IG, Hanna et al. 2024).

    One step takes the gradient at the clean run, and sees nothing where a nonlinearity is saturated. More
    take its mean over the midpoints of ``steps`` equal parts of the way from the clean embeddings to the
    ablated ones. Three runs per step.

    Parameters
    ----------
    ablation : {"zero", "mean", "resample"}
    steps : int
    score : {"projection", "distance"}
        What is differentiated: the output along the difference of clean and ablated output; or the squared
        distance to the clean output, whose gradient at the clean run is 0, so that one step finds nothing.
    """
    circuit: Circuit = case.given
    messages = circuit.ablated_messages(ablation)
    clean, sent = (found.detach() for found in circuit.run(circuit.inputs))
    everything = circuit.output_without(torch.ones(len(circuit.edges)), messages)
    direction = clean - everything
    shares = [0.0] if steps == 1 else [(k + 0.5) / steps for k in range(steps)]
    change = (messages - sent)[:, circuit.sender_rows].transpose(0, 1)
    found = torch.zeros(len(circuit.edges), dtype=torch.float64)
    for share in shares:
        gradient = _gradient(circuit, messages, share, clean, direction if score == "projection" else None)
        found += (gradient * change).sum(dim=(1, 2, 3)) / len(shares)
    found[found.abs() < LEAKAGE * direction.square().sum()] = 0.0
    return Scores(found / len(circuit.inputs))


def _gradient(circuit: Circuit, messages: Tensor, share: float, clean: Tensor, direction: Tensor | None) -> Tensor:
    """Gradient (E, N, L, D) at each edge, a share of the way to the ablated embeddings."""
    embedded = torch.tensor([circuit.levels[edge.sender] == 0 for edge in circuit.edges])
    offsets = torch.zeros(len(circuit.edges), *circuit.inputs.shape, messages.shape[-1], dtype=torch.float64)
    offsets.requires_grad_()
    output = circuit.run(circuit.inputs, share * embedded.double(), messages, offsets)[0]
    target = (output - clean).square() if direction is None else output * direction
    return torch.autograd.grad(target.sum(), offsets)[0]
