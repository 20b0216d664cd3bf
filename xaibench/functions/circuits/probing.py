"""Subnetwork probing (Cao et al. 2021): a trainable gate on every edge, closed where the output does not need it."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import CaseView
from xaibench.core.program_registry import interpreter
from xaibench.functions.circuits.circuit import LEAKAGE, Ablation, Circuit, output_distance

TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1
"""Of hard concrete gates: temperature, and the interval that is cut off at [0, 1]."""
LEARNING_RATE = 0.1
START = 2.0
"""Logit of every gate at the start: mostly open."""


@interpreter("subnetwork_probing", takes=["circuit"])
def subnetwork_probing(
    case: CaseView,
    draws: np.random.Generator,
    *,
    ablation: Ablation = "zero",
    steps: PositiveInt = 30,
    penalty: NonNegativeFloat = 0.05,
) -> Scores:
    """Probability that a trained gate on the edge is open (Cao et al. 2021, with hard concrete gates of Louizos 2018).

    Gates are trained with Adam on the squared change of the output, as a share of the change when every
    edge is ablated, plus a penalty for the expected number of open gates. Three runs per step.

    Parameters
    ----------
    ablation : {"zero", "mean", "resample"}
    steps : int
    penalty : float
        Per open gate.
    """
    circuit: Circuit = case.given
    messages, clean = circuit.ablated_messages(ablation), circuit.run(circuit.inputs)[0].detach()
    everything = output_distance(circuit.output_without(torch.ones(len(circuit.edges)), messages), clean) or 1.0
    logits = torch.full((len(circuit.edges),), START, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=LEARNING_RATE)
    for _ in range(steps):
        noise = torch.from_numpy(np.log(1 / draws.uniform(1e-6, 1 - 1e-6, len(circuit.edges)) - 1))
        stretched = ((logits - noise) / TEMPERATURE).sigmoid() * (HIGH - LOW) + LOW
        output = circuit.run(circuit.inputs, 1 - stretched.clamp(0, 1), messages)[0]
        lost = (output - clean).square().mean() / everything
        (gradient,) = torch.autograd.grad(lost, logits)
        # Adam's steps do not shrink with the gradient, so that rounding would decide about an edge.
        gradient[gradient.abs() < LEAKAGE] = 0.0
        (closing,) = torch.autograd.grad(penalty * _open(logits).sum(), logits)
        logits.grad = gradient + closing
        optimizer.step()
    return Scores(_open(logits.detach()))


def _open(logits: Tensor) -> Tensor:
    """Probability that a hard concrete gate is not 0 (Louizos et al. 2018, equation 12)."""
    return (logits - TEMPERATURE * float(np.log(-LOW / HIGH))).sigmoid()
