"""Cases of corrupted descriptions: half of a concept is missing, or as much again is added (NeuronEval)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import PositiveInt

from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.program_registry import functions
from xaibench.core.types import Array
from xaibench.functions.scorers.candidates import scorer_case


@functions("corrupted_descriptions", kind="scorer")
def corrupted_descriptions(
    *,
    seed: int,
    n: PositiveInt = 6,
    rate: Annotated[float, Gt(0), Lt(0.5)] = 0.01,
    inputs: Annotated[int, Ge(100), Le(200_000)] = 50_000,
    draws: Annotated[int, Ge(1), Le(100)] = 8,
) -> tuple[Case, ...]:
    """A neuron that is active at a share of the inputs, its own concept, and corrupted copies of it.

    *Missing*: every positive of the concept is dropped with probability 1/2. *Extra*: every negative becomes
    positive with probability g / (1 - g), which doubles the concept; g is the rate. A score of descriptions should
    fall for both, at any rate.

    Parameters
    ----------
    seed : int
    n : int
        Neurons.
    rate : float
        Share of the inputs at which the neuron is active: exactly the nearest possible one, at least one input.
    inputs : int
    draws : int
        Corrupted copies of each sort.

    Notes
    -----
    After NeuronEval (Oikarinen et al. 2025, ICML), whose missing and extra labels test are these.
    """
    return tuple(_case(f"corrupted/descriptions/{i:04d}", seed, rate, inputs, draws) for i in range(n))


def _case(name: str, seed: int, rate: float, inputs: int, copies: int) -> Case:
    draws = keyed_generator(seed, f"corrupted_descriptions/{rate!r}/{inputs}", name)
    k = max(round(rate * inputs), 1)
    active = np.zeros(inputs, dtype=bool)
    active[draws.permutation(inputs)[:k]] = True
    share = k / inputs
    missing = [("missing", without_half(active, draws)) for _ in range(copies)]
    extra = [("extra", with_as_many_more(active, share, draws)) for _ in range(copies)]
    return scorer_case(
        name,
        active,
        [*missing, *extra],
        draws,
        parameters={"rate": share, "inputs": inputs},
        description=f"a neuron active at {k} of {inputs} inputs, its concept, and {2 * copies} corrupted copies",
    )


def without_half(active: Array, draws: np.random.Generator) -> Array:
    """Each positive dropped with probability 1/2, (n,) of bool."""
    found = active.copy()
    at = np.flatnonzero(active)
    found[at[draws.random(len(at)) < 0.5]] = False
    return found


def with_as_many_more(active: Array, rate: float, draws: np.random.Generator) -> Array:
    """Each negative made positive with probability g / (1 - g), (n,) of bool."""
    return active | (draws.random(len(active)) < rate / (1 - rate))
