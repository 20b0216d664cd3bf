"""Whether the edges with the largest scores reproduce the output, and whether they are what a circuit should be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.case import Case
from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.circuits.circuit import Ablation, Circuit, output_distance
from xaibench.functions.circuits.edge_scores import sizes_of

KEPT_SHARES = (0.05, 0.1, 0.2, 0.5)
"""Shares of the edges that are not ablated, for the mean faithfulness."""
EQUIVALENT = 0.99
"""Faithfulness from which on a circuit is as good as the whole net."""
UNCHANGED = 1e-5
"""Largest change of an output that counts as none."""
_MIB = "Mueller et al. 2025, MIB: a mechanistic interpretability benchmark"
_IDEAL = "Shi et al. 2024, Hypothesis testing the circuit hypothesis in LLMs"


@dataclass(frozen=True)
class AblatedOutputs:
    """Outputs (N, L, K) of a circuit: of the whole net, with no message left, and with only some edges kept."""

    whole: Tensor
    nothing: Tensor
    kept: tuple[Tensor, ...]

    @property
    def defined(self) -> bool:
        """Whether the output changes at all when every message is ablated."""
        return output_distance(self.nothing, self.whole) > UNCHANGED**2

    @property
    def faithfulness(self) -> Array:
        """One minus the squared distance to the whole net, as a share of that with no message left; at most 1."""
        everything = output_distance(self.nothing, self.whole)
        return np.array([1 - output_distance(output, self.whole) / everything for output in self.kept])

    @property
    def recovered(self) -> Array:
        """How far each output has come on the way from no message to the whole net; may exceed 1."""
        way = self.whole - self.nothing
        return np.array([float(((output - self.nothing) * way).sum() / way.square().sum()) for output in self.kept])


def edge_order(ev: CaseEvaluation, i: int) -> list[str]:
    """Edges of case i by descending size of their scores; ties in an order that is drawn for the names of the edges."""
    key = ev.draws("edge order", i).bytes(16)
    ties = [hashlib.blake2b(unit.encode(), key=key, digest_size=8).digest() for unit in ev.cases[i].units]
    ranked = sorted(zip(-sizes_of(ev.scores(i)), ties, ev.cases[i].units, strict=True))
    return [unit for _, _, unit in ranked]


def _mask(circuit: Circuit, edges: Iterable[str]) -> Tensor:
    """Which edges of the circuit (E,) have these names."""
    wanted = set(edges)
    return torch.tensor([str(edge) in wanted for edge in circuit.edges])


def _outputs(circuit: Circuit, kept: Iterable[Tensor], ablation: Ablation) -> AblatedOutputs:
    messages, whole, nothing = _reference_outputs(circuit, ablation)
    return AblatedOutputs(whole, nothing, tuple(circuit.output_without(~mask, messages) for mask in kept))


@lru_cache(maxsize=64)
def _reference_outputs(circuit: Circuit, ablation: Ablation) -> tuple[Tensor, Tensor, Tensor]:
    """Messages of an ablation, and outputs of the whole net and with every message ablated: equal for all answers."""
    messages = circuit.ablated_messages(ablation)
    whole = circuit.run(circuit.inputs)[0].detach()
    return messages, whole, circuit.output_without(torch.ones(len(circuit.edges)), messages)


def _curves(ev: CaseEvaluation, ablation: Ablation) -> list[AblatedOutputs]:
    """Outputs of the first 5, 10, 20 and 50 % of the edges of each case."""

    def computed() -> list[AblatedOutputs]:
        found = []
        for i, case in enumerate(ev.cases):
            order = edge_order(ev, i)
            kept = [_mask(case.given, order[: round(share * len(order))]) for share in KEPT_SHARES]
            found.append(_outputs(case.given, kept, ablation))
        return found

    curves: list[AblatedOutputs] = ev.reuse(f"circuit faithfulness/{ablation}", computed)
    return curves


@metric(
    "circuit_cpr",
    family="faithfulness",
    higher_is_better=True,
    needs={"case", "circuit"},
    worst=0.0,
    construct="circuit faithfulness",
    source=_MIB,
)
def circuit_cpr(ev: CaseEvaluation, *, ablation: Ablation = "zero") -> Array:
    """Mean share of the output that circuits of 5, 10, 20 and 50 % of the edges recover (circuit performance ratio).

    The share is how far the output has come on the straight way from that with every message ablated to
    that of the whole net. It does not tell that the edges are the right ones: what an ablation leaves as
    it is may be missing.

    Parameters
    ----------
    ablation : {"zero", "mean", "resample"}

    Returns
    -------
    array (N,)
        0 for no edge, 1 for all; may be beyond both. NaN if the output does not change when every message
        is ablated.
    """
    return np.array([c.recovered.mean() if c.defined else np.nan for c in _curves(ev, ablation)])


@metric(
    "circuit_cmd",
    family="faithfulness",
    higher_is_better=False,
    bounds=(0, None),
    needs={"case", "circuit"},
    worst=1.0,
    construct="circuit faithfulness",
    source=f"{_MIB}; with the squared distance of outputs",
)
def circuit_cmd(ev: CaseEvaluation, *, ablation: Ablation = "zero") -> Array:
    """Mean lack of faithfulness of circuits of 5, 10, 20 and 50 % of the edges (circuit-model distance).

    It is the squared distance to the output of the whole net with all other messages ablated, as a share
    of that with every message ablated.

    Parameters
    ----------
    ablation : {"zero", "mean", "resample"}

    Returns
    -------
    array (N,)
        0 for all edges, 1 for none, more for circuits that are worse than none. NaN if the output does not
        change when every message is ablated.
    """
    return np.array([1 - c.faithfulness.mean() if c.defined else np.nan for c in _curves(ev, ablation)])


def _claimed(ev: CaseEvaluation, i: int) -> Tensor:
    """As many edges (E,) with the largest scores as there are wired ones."""
    case = ev.cases[i]
    return _mask(case.given, edge_order(ev, i)[: int(case.hidden["wiring"].sum())])


_ideal = partial(
    metric,
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "circuit"},
    skill_valid=True,
    source=_IDEAL,
)
"""One of the three tests of an ideal circuit."""


@_ideal("circuit_equivalence")
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
    found = [_outputs(case.given, [_claimed(ev, i)], ablation) for i, case in enumerate(ev.cases)]
    return np.array([float(f.faithfulness[0] >= EQUIVALENT) if f.defined else np.nan for f in found])


@_ideal("circuit_independence")
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
    messages, whole, _ = _reference_outputs(circuit, "resample")
    return not _moved(circuit.output_without(~kept, messages), whole)


@_ideal("circuit_minimality")
def circuit_minimality(ev: CaseEvaluation) -> Array:
    """Share of the edges with the largest scores, as many as are wired, that count when all others are set to zero.

    An edge counts if zeros or the message of another input on it change the output.

    Returns
    -------
    array (N,)
    """
    return np.array([_minimality(case.given, _claimed(ev, i)) for i, case in enumerate(ev.cases)])


def _minimality(circuit: Circuit, kept: Tensor) -> float:
    alone = circuit.run(circuit.inputs, (~kept).double())[0]
    others = circuit.ablated_messages("resample")
    offsets = torch.zeros(len(kept), *others[:, 0].shape, dtype=others.dtype)

    def counts(edge: int) -> bool:
        """Whether zeros, or the message of another input, on one of the kept edges change the output of these edges."""
        removed = (~kept).double()
        removed[edge] = 1.0
        if _moved(circuit.run(circuit.inputs, removed)[0], alone):
            return True
        offsets[edge] = others[:, circuit.sender_rows[edge]]
        found = circuit.run(circuit.inputs, removed, None, offsets)[0]
        offsets[edge] = 0.0
        return _moved(found, alone)

    return float(np.mean([counts(int(i)) for i in kept.nonzero()[:, 0]]))


def _moved(output: Tensor, before: Tensor) -> bool:
    return float((output - before).abs().max()) > UNCHANGED
