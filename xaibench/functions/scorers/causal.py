"""Hidden units that a network uses and copies of them that it does not: the same activity, another effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case, CaseView
from xaibench.core.cases.evaluation import CaseEvaluation
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions, interpreter
from xaibench.core.registry import metric
from xaibench.core.types import Array
from xaibench.functions.neurons.concepts import vocabulary
from xaibench.functions.scorers.tables import TABLE_SCORES, Tables

FEWEST_WORDS_OF_UNIT = 12
LEAST_WEIGHT = 0.2
"""Smallest size of an output weight of a unit that is wired."""


@dataclass(frozen=True)
class HiddenUnits:
    """What an explainer of described units may see.

    Attributes
    ----------
    activations : Tensor (n, U) of float64
        Of each hidden unit at each input, 0 or 1.
    descriptions : Tensor (n, U) of bool
        Where the description of each unit says that it is active.
    claimed : Tensor (U,) of float64
        What each description says that the unit adds to the output while it is active.
    run : callable
        Activations (b, U) -> output (b,); each call counts as a run.
    """

    activations: Tensor
    descriptions: Tensor
    claimed: Tensor
    run: Callable[[Tensor], Tensor]


@functions("described_units", kind="hidden_units")
def described_units(*, seed: int, n: PositiveInt = 6, units: PositiveInt = 8) -> tuple[Case, ...]:
    """Nets over words whose hidden units fire exactly for a kind of thing, half of them without an effect.

    The output is a weighted sum of hidden units. Every unit has a copy with the same activations and the same
    description, whose weight is 0. Truth: 1 for a unit whose description says what it does to the output,
    0 for a copy. No observation of activations can distinguish the two.

    Parameters
    ----------
    seed : int
    n : int
        Nets.
    units : int
        Wired units of each; there are as many copies.
    """
    return tuple(_net(f"described/units/{i:04d}", seed, units) for i in range(n))


def _net(name: str, seed: int, units: int) -> Case:
    draws = keyed_generator(seed, "described_units", name)
    words = vocabulary()
    sizes = words.members.sum(axis=1)
    usable = [c for c, k in enumerate(words.concepts) if not words.is_form(k) and sizes[c] >= FEWEST_WORDS_OF_UNIT]
    concepts = draws.choice(usable, size=units, replace=False)
    weights = draws.standard_normal(units)
    weights = np.where(np.abs(weights) < LEAST_WEIGHT, LEAST_WEIGHT, weights)
    order = draws.permutation(2 * units)
    pair = np.tile(np.arange(units), 2)[order]
    wired = np.repeat([1.0, 0.0], units)[order]
    active = words.members[concepts[pair]].T
    activations = torch.from_numpy(active.astype(np.float64))
    claimed = torch.from_numpy(weights[pair])
    run = partial(_output, weights=torch.from_numpy(weights[pair] * wired))
    return Case(
        name,
        "hidden_units",
        HiddenUnits(activations, torch.from_numpy(active.copy()), claimed, run),
        Scores(torch.from_numpy(wired)),
        {"pair": torch.from_numpy(pair)},
        units=tuple(f"unit {i}: {words.concepts[concepts[p]]}" for i, p in enumerate(pair)),
        parameters={"units": units},
        description=f"a net over {len(active)} words with {units} wired hidden units and a copy of each without effect",
        gates=_gates(run, activations, wired),
        content={"active": active, "weights": [repr(float(w)) for w in weights], "order": order},
    )


def _output(activations: Tensor, *, weights: Tensor) -> Tensor:
    return activations @ weights


def _gates(run: Callable[[Tensor], Tensor], activations: Tensor, wired: Array) -> tuple[Gate, ...]:
    """Interventions: setting a wired unit to the other value moves the output, setting a copy does not."""
    moved = np.array([float((run(_flipped(activations, u)) - run(activations)).abs().min()) for u in range(len(wired))])
    return (
        Gate("least effect of a wired unit", float(moved[wired == 1].min()), LEAST_WEIGHT / 2),
        Gate("largest effect of a copy", float(moved[wired == 0].max()), 1e-12, at_least=False),
    )


def _flipped(activations: Tensor, unit: int) -> Tensor:
    found = activations.clone()
    found[:, unit] = 1 - found[:, unit]
    return found


@interpreter("observational_f1", takes={"hidden_units"})
def observational_f1(case: CaseView, draws: np.random.Generator) -> Scores:
    """F1 of each description with the unit's activations: how well it says when the unit is active."""
    given: HiddenUnits = case.given
    active, described = given.activations.numpy() > 0, given.descriptions.numpy()
    tables = (Tables.of(active[:, u], described[:, u][None]) for u in range(active.shape[1]))
    return Scores(torch.tensor([float(TABLE_SCORES["f1"].of(t)[0]) for t in tables], dtype=torch.float64))


@interpreter("interchange_score", takes={"hidden_units"})
def interchange_score(case: CaseView, draws: np.random.Generator, *, pairs: PositiveInt = 32) -> Scores:
    """Share of interchange interventions after which the output moves as the description of the unit claims.

    A base and a source input are drawn that the description distinguishes; the unit's activation at the source is
    put into the run on the base, and the output must move by the claimed weight times the described
    difference (Geiger et al. 2021, interchange interventions).

    Parameters
    ----------
    pairs : int
        Pairs of inputs for each unit; takes two runs for each unit.
    """
    given: HiddenUnits = case.given
    found = []
    for u in range(len(given.claimed)):
        on, off = (np.flatnonzero(given.descriptions[:, u].numpy() == side) for side in (True, False))
        source, base = draws.choice(on, pairs), draws.choice(off, pairs)
        swap = draws.random(pairs) < 0.5
        source, base = np.where(swap, base, source), np.where(swap, source, base)
        rows = given.activations[torch.from_numpy(base)]
        changed = rows.clone()
        changed[:, u] = given.activations[torch.from_numpy(source), u]
        moved = given.run(changed) - given.run(rows)
        described = given.descriptions[:, u].double()
        claimed = given.claimed[u] * (described[torch.from_numpy(source)] - described[torch.from_numpy(base)])
        found.append(torch.isclose(moved, claimed, rtol=1e-6, atol=1e-9).double().mean())
    return Scores(torch.stack(found))


@interpreter("unit_frequency", takes={"hidden_units"}, control=True)
def unit_frequency(case: CaseView, draws: np.random.Generator) -> Scores:
    """Share of the inputs at which a description holds; never looks at the net."""
    return Scores(case.given.descriptions.double().mean(dim=0))


@metric(
    "description_causal",
    family="ground_truth",
    higher_is_better=True,
    bounds=(0, 1),
    needs={"case", "hidden_units"},
    skill_valid=True,
    source="xaibench's own definition; interchange interventions: Geiger et al. 2021 (arXiv:2106.02997)",
)
def description_causal(ev: CaseEvaluation) -> Array:
    """Share of wired units that are scored above their own copy without an effect; ties count 1/2.

    Returns
    -------
    array (N,)
        A unit without a score ranks last.
    """
    return np.array([_causal(ev, i) for i in range(len(ev))])


def _causal(ev: CaseEvaluation, i: int) -> float:
    values = torch.nan_to_num(ev.scores(i), nan=-torch.inf).numpy()
    pair, wired = ev.cases[i].hidden["pair"].numpy(), ev.truth(i).numpy() > 0
    above = values[wired][np.argsort(pair[wired])]
    below = values[~wired][np.argsort(pair[~wired])]
    return float(((above > below) + 0.5 * (above == below)).mean())
