"""Whether the edges with the largest scores reproduce the output, and whether they are what a circuit should be."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.case import Case
from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.circuits.circuit import SENDER_ROWS, Ablation, Circuit, distance
from xaibench.functions.circuits.edge_scores import sizes_of

KEPT_SHARES = (0.05, 0.1, 0.2, 0.5)
"""Shares of the edges that are kept for the mean faithfulness."""
EQUIVALENT = 0.99
"""Faithfulness from which on a circuit is as good as the whole net."""
UNCHANGED = 1e-5
"""Largest change of an output that counts as none."""
_MIB = "Mueller et al. 2025, MIB: a mechanistic interpretability benchmark"
_IDEAL = "Shi et al. 2024, Hypothesis testing the circuit hypothesis in LLMs"


def edge_order(ev: CaseEvaluation, i: int) -> Array:
    """Edges of case i by descending size of their scores; ties in an order that is drawn for the names of the edges."""
    case = ev.cases[i]
    key = ev.draws("edge order", i).bytes(16)
    ties = [hashlib.blake2b(unit.encode(), key=key, digest_size=8).digest() for unit in case.units]
    sizes = sizes_of(ev.scores(i))
    return np.array(sorted(range(len(sizes)), key=lambda e: (-sizes[e], ties[e])))


def _first(order: Array, k: int) -> Tensor:
    """Which edges (E,) are among the first k."""
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[torch.from_numpy(order[:k].copy())] = True
    return kept


def _faithfulness(circuit: Circuit, kept: list[Tensor], ablation: Ablation) -> Array:
    """One less the distance to the whole net with only some edges kept, as a share of that with none."""
    messages, clean = circuit.ablated_messages(ablation), circuit.run(circuit.inputs)[0].detach()
    nothing = distance(circuit.output_without(torch.ones(len(circuit.edges)), messages), clean)
    if nothing <= UNCHANGED**2:
        return np.full(len(kept), np.nan)
    return np.array([1 - distance(circuit.output_without(~k, messages), clean) / nothing for k in kept])


def _curves(ev: CaseEvaluation, ablation: Ablation) -> Array:
    """Faithfulness (N, 4) of the first 5, 10, 20 and 50 % of the edges."""

    def computed() -> Array:
        rows = []
        for i, case in enumerate(ev.cases):
            order = edge_order(ev, i)
            kept = [_first(order, round(share * len(order))) for share in KEPT_SHARES]
            rows.append(_faithfulness(case.given, kept, ablation))
        return np.stack(rows)

    found: Array = ev.reuse(f"circuit faithfulness/{ablation}", computed)
    return found


@metric(
    "circuit_cpr",
    family="faithfulness",
    higher_is_better=True,
    bounds=(None, 1),
    needs={"case", "circuit"},
    worst=0.0,
    source=_MIB,
)
def circuit_cpr(ev: CaseEvaluation, *, ablation: Ablation = "zero") -> Array:
    """Mean faithfulness of circuits of 5, 10, 20 and 50 % of the edges (circuit performance ratio).

    Faithfulness is 1 less the squared distance to the output of the whole net with all other messages
    ablated, as a share of that with all of them ablated. It does not tell that the edges are the right
    ones: what an ablation leaves as it is may be missing.

    Parameters
    ----------
    ablation : {"zero", "mean", "resample"}

    Returns
    -------
    array (N,)
        NaN if the output does not change when every message is ablated.
    """
    return np.asarray(_curves(ev, ablation).mean(axis=1))


@metric(
    "circuit_cmd",
    family="faithfulness",
    higher_is_better=False,
    bounds=(0, None),
    needs={"case", "circuit"},
    worst=1.0,
    source=_MIB,
)
def circuit_cmd(ev: CaseEvaluation, *, ablation: Ablation = "zero") -> Array:
    """Mean distance from 1 of the faithfulness in `circuit_cpr` (circuit-model distance).

    Parameters
    ----------
    ablation : {"zero", "mean", "resample"}

    Returns
    -------
    array (N,)
        NaN if the output does not change when every message is ablated.
    """
    return np.asarray(np.abs(1 - _curves(ev, ablation)).mean(axis=1))


def _claimed(ev: CaseEvaluation, i: int) -> Tensor:
    """As many edges (E,) with the largest scores as there are wired ones."""
    return _first(edge_order(ev, i), int(ev.cases[i].hidden["wiring"].sum()))


@metric(
    "circuit_equivalence",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "circuit"},
    skill_valid=True,
    source=_IDEAL,
)
def circuit_equivalence(ev: CaseEvaluation, *, ablation: Ablation = "zero") -> Array:
    """Whether the edges with the largest scores, as many as are wired, do what the net does: a faithfulness of .99.

    Parameters
    ----------
    ablation : {"zero", "mean", "resample"}
        Of all other messages.

    Returns
    -------
    array (N,)
        1 or 0; NaN if the output does not change when every message is ablated.
    """
    found = [_faithfulness(case.given, [_claimed(ev, i)], ablation)[0] for i, case in enumerate(ev.cases)]
    return np.array([np.nan if np.isnan(f) else float(f >= EQUIVALENT) for f in found])


@metric(
    "circuit_independence",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "circuit"},
    skill_valid=True,
    source=_IDEAL,
)
def circuit_independence(ev: CaseEvaluation) -> Array:
    """Whether messages of another input on all but the edges with the largest scores leave the output as it is.

    Returns
    -------
    array (N,)
        1 or 0.
    """
    return np.array([float(_independent(case, _claimed(ev, i))) for i, case in enumerate(ev.cases)])


def _independent(case: Case, kept: Tensor) -> bool:
    circuit: Circuit = case.given
    changed = circuit.output_without(~kept, circuit.ablated_messages("resample"))
    return float((changed - circuit.run(circuit.inputs)[0]).abs().max()) <= UNCHANGED


@metric(
    "circuit_minimality",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "circuit"},
    skill_valid=True,
    source=_IDEAL,
)
def circuit_minimality(ev: CaseEvaluation) -> Array:
    """Share of the edges with the largest scores, as many as are wired, that count when all others are set to zero.

    An edge counts if zeros or the message of another input on it change the output.

    Returns
    -------
    array (N,)
    """
    return np.array([_minimality(case.given, _claimed(ev, i)) for i, case in enumerate(ev.cases)])


def _minimality(circuit: Circuit, kept: Tensor) -> float:
    return float(np.mean([_counts(circuit, kept, int(i)) for i in kept.nonzero()[:, 0]]))


def _counts(circuit: Circuit, kept: Tensor, edge: int) -> bool:
    """Whether zeros, or the message of another input, on one of the kept edges change the output of these edges."""
    alone = circuit.run(circuit.inputs, (~kept).double())[0]
    removed = (~kept).double()
    removed[edge] = 1.0
    other = circuit.ablated_messages("resample")[:, SENDER_ROWS[edge]]
    offsets = torch.zeros(len(kept), *other.shape, dtype=other.dtype)
    changed = [circuit.run(circuit.inputs, removed)[0]]
    offsets[edge] = other
    changed.append(circuit.run(circuit.inputs, removed, None, offsets)[0])
    return any(float((output - alone).abs().max()) > UNCHANGED for output in changed)
