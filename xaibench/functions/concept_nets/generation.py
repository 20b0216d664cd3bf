"""The set of nets with known concepts: what an explainer sees of them, and the true effect of each concept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.functions.concept_nets.worlds import (
    N_CONCEPTS,
    PAIRED_WEIGHTS,
    ConceptNet,
    ConceptWorld,
    concept_directions,
    dual_directions,
)

N_EXPLAINED, N_INTERVENED = 100, 2000
UNUSED_EFFECT = 1e-9
"""Largest change of an output by a concept that is not used."""
EFFECT_TOLERANCE = 0.1
"""Largest difference between true effects and those measured on 2,000 inputs."""


@dataclass(frozen=True, eq=False)
class ConceptModel:
    """What an explainer may see.

    Attributes
    ----------
    run : callable
        Inputs (n, d) -> outputs (n,); differentiable. Calls and backward passes are counted.
    inputs : Tensor (N, d)
        Inputs that are explained.
    probe : callable
        ``(concept, n, draws, independent=False)`` -> n inputs that have the concept (n, d), and n that do not;
        ``independent`` takes them from a world where concepts are independent.
    labelled : callable, optional
        ``(n, draws)`` -> inputs (n, d) and their concepts (n, K); None where that is not known.
    redraw : callable, optional
        ``(concepts, draws, conditional=True)`` -> concepts (n, K), each drawn again given all others, or
        regardless of them.
    """

    run: Callable[[Tensor], Tensor]
    inputs: Tensor
    probe: Callable[..., tuple[Tensor, Tensor]]
    labelled: Callable[[int, np.random.Generator], tuple[Tensor, Tensor]] | None = None
    redraw: Callable[..., Tensor] | None = None


@functions("concept_net", kind="concepts", version=1)
def concept_net(
    *,
    seed: int,
    n: PositiveInt = 24,
    directions: Literal["orthogonal", "oblique"] = "orthogonal",
    correlated: bool = False,
) -> tuple[Case, ...]:
    """Analytic nets of eight concepts, of which four are used, with the exact effect of each on the output.

    Concepts come in pairs, with weights 2 and 1, -1.5 and 0, 0 and 0, .5 and 0, in an order that is drawn.
    So two null concepts have a partner that is used. The effect is the mean change of the output when the concept
    is put in instead of taken out.

    Parameters
    ----------
    seed : int
    n : int
        Nets.
    directions : {"orthogonal", "oblique"}
        Whether the directions of a pair are orthogonal, or at a cosine of .6.
    correlated : bool
        Whether the second concept of a pair copies the first with probability .6.
    """
    return tuple(_case(f"concept_net/{i:02d}", seed, directions == "oblique", correlated) for i in range(n))


def _case(name: str, seed: int, oblique: bool, correlated: bool) -> Case:
    draws = keyed_generator(seed, "concept_net", name)
    pairs = [PAIRED_WEIGHTS[i] if draws.random() < 0.5 else PAIRED_WEIGHTS[i][::-1] for i in draws.permutation(4)]
    weights = torch.tensor([w for pair in pairs for w in pair], dtype=torch.float64)
    world = ConceptWorld(concept_directions(draws, oblique=oblique), correlated)
    net = ConceptNet(dual_directions(world.directions), weights)
    inputs, _ = world.sample(N_EXPLAINED, draws)
    partner = weights.view(-1, 2).flip(1).flatten()

    def probe(concept: int, n: int, rng: np.random.Generator, independent: bool = False) -> tuple[Tensor, Tensor]:
        return probe_set(world, concept, n, rng, independent=independent)

    effects = net.effects()
    return Case(
        name,
        "concepts",
        ConceptModel(net, inputs, probe, world.sample, world.redraw),
        Scores(effects, facts={"directions": world.directions.tolist()}),
        {"used": (weights != 0).double(), "partner_used": ((weights == 0) & (partner != 0)).double()},
        units=tuple(f"concept {j}" for j in range(N_CONCEPTS)),
        parameters={"weights": weights.tolist(), "oblique": oblique, "correlated": correlated},
        description="a sum of sigmoids of eight concepts, four of which have no weight",
        gates=_interventions(world, net, effects, keyed_generator(seed, "gates", name)),
        content={"seed": seed},
    )


def probe_set(
    world: ConceptWorld, concept: int, n: int, rng: np.random.Generator, *, independent: bool = False
) -> tuple[Tensor, Tensor]:
    """n inputs that have a concept, and n that do not, (n, d) each."""
    found: list[list[Tensor]] = [[], []]
    while min(map(len, found)) < n:
        x, c = world.sample(2 * n, rng, correlated=False if independent else None)
        for row, label in zip(x, c[:, concept], strict=True):
            found[int(label)].append(row)
    return torch.stack(found[1][:n]), torch.stack(found[0][:n])


def _interventions(world: ConceptWorld, net: ConceptNet, effects: Tensor, rng: np.random.Generator) -> tuple[Gate, ...]:
    """Put each concept in and take it out, on fresh inputs."""
    x, c = world.sample(N_INTERVENED, rng)
    unused, error = 0.0, 0.0
    for j in range(N_CONCEPTS):
        present = c[:, j : j + 1]
        change = net(x + (1 - present) * world.directions[j]) - net(x - present * world.directions[j])
        error = max(error, float((change.mean() - effects[j]).abs()))
        if net.weights[j] == 0:
            unused = max(unused, float(change.abs().max()))
    return (
        Gate("largest effect of an unused concept", unused, UNUSED_EFFECT, at_least=False),
        Gate("error of the effects", error, EFFECT_TOLERANCE, at_least=False),
    )
