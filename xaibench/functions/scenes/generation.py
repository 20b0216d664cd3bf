"""The set of neurons over pictures: what an explainer may ask and see, and the predicate that is true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from pydantic import PositiveInt

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.core.types import Array
from xaibench.functions.scenes.pictures import draw_pictures
from xaibench.functions.scenes.predicates import (
    FACTOR_SIZES,
    FIRST_VALUES,
    PredicateMode,
    all_members,
    all_specs,
    candidate_names,
    has_values,
    scene_predicates,
    spec_rows,
)

N_NATURAL, N_TEST_PICTURES = 2000, 20
"""Natural pictures, and test pictures on either side."""
FIRING, SILENT, LEVEL_NOISE = 0.9, 0.3, 0.05
"""Level of members, largest level of others, and standard deviation of the noise on both."""


@dataclass(frozen=True, eq=False)
class SceneNeuron:
    """What an explainer may see and ask.

    Attributes
    ----------
    probe : callable
        A picture as five numbers -> its activation, a float. Each call is counted as a run.
    natural : array (2000, 5)
        Natural pictures as numbers of object, scene, style, hue and place.
    activations : array (2000,)
        Of the natural pictures.
    images : callable
        Pictures as numbers (n, 5) -> images (n, 3, 64, 64) of uint8, for explainers that look.
    """

    probe: Callable[[Array], float]
    natural: Array
    activations: Array
    images: Callable[[Array], Array]


@functions("find_scenes", kind="scene", version=1)
def find_scenes(
    *,
    seed: int,
    n: PositiveInt = 30,
    mode: Literal["mono", "or", "and"] = "mono",
    confounded: Annotated[float, Ge(0), Le(1)] = 0.0,
) -> tuple[Case, ...]:
    """Neurons that fire for a value of a picture, for one of two, or for two at once; 856 candidate predicates.

    A picture is an object (10), a scene (10), a style (3), a hue (4) and a place (4). Half of the neurons are
    about an object, half about a scene; the other value of a pair is a style, hue or place. Members have a level
    of .9, others one from 0 to .3, both with noise, which is keyed by the picture.

    Parameters
    ----------
    seed : int
    n : int
        Neurons.
    mode : {"mono", "or", "and"}
    confounded : float
        Probability with which the scene of a natural picture goes with its object.
    """
    return tuple(_case(f"find_scenes/{mode}/{i:02d}", seed, i, mode, confounded) for i in range(n))


def _case(name: str, seed: int, i: int, mode: PredicateMode, confounded: float) -> Case:
    rng = keyed_generator(seed, "neuron", name)
    about = i % 2
    first = FIRST_VALUES[about] + int(rng.integers(FACTOR_SIZES[about]))
    other = FIRST_VALUES[2] + int(rng.integers(sum(FACTOR_SIZES[2:]))) if mode != "mono" else -1
    true = scene_predicates().index((mode, first, other))
    fires = all_members()[:, true]
    levels = noisy_levels(fires, rng)
    natural = natural_specs(confounded, keyed_generator(seed, "natural", name))
    activations = noisy_levels(fires[spec_rows(natural)], keyed_generator(seed, "natural levels", name))
    tested = tested_specs(mode, first, other, keyed_generator(seed, "test", name))
    labels = fires[spec_rows(tested)]

    def probe(spec: Array) -> float:
        (row,) = spec_rows(np.asarray(spec)[None])
        return float(levels[row])

    truth = torch.zeros(len(scene_predicates()), dtype=torch.float64)
    truth[true] = 1.0
    return Case(
        name,
        "scene",
        SceneNeuron(probe, natural, activations, draw_pictures),
        Scores(truth),
        {"tested": torch.from_numpy(all_members()[spec_rows(tested)]), "fires": torch.from_numpy(labels)},
        units=candidate_names(),
        parameters={"mode": mode, "confounded": confounded, "predicate": candidate_names()[true]},
        description=f"fires for pictures with {candidate_names()[true]}",
        gates=(
            Gate("smallest level of members minus the largest of others", _gap(levels, fires), 0.0),
            Gate("firing test pictures", float(labels.sum()), float(N_TEST_PICTURES)),
        ),
        content={"seed": seed, "mode": mode, "confounded": confounded},
    )


def noisy_levels(fires: Array, rng: np.random.Generator) -> Array:
    """Activations (n,) of pictures that a neuron fires for, or does not, within [0, 1]."""
    silent = rng.uniform(0, SILENT, len(fires))
    found: Array = np.clip(np.where(fires, FIRING, silent) + LEVEL_NOISE * rng.standard_normal(len(fires)), 0, 1)
    return found


def natural_specs(confounded: float, rng: np.random.Generator) -> Array:
    """Natural pictures (2000, 5): every factor drawn evenly, but the scene, which may go with the object."""
    found = rng.integers(np.array(FACTOR_SIZES), size=(N_NATURAL, len(FACTOR_SIZES)))
    goes_with = rng.permutation(FACTOR_SIZES[1])
    follows = rng.random(N_NATURAL) < confounded
    found[follows, 1] = goes_with[found[follows, 0]]
    return found


def tested_specs(mode: PredicateMode, first: int, other: int, rng: np.random.Generator) -> Array:
    """Twenty firing and twenty silent pictures (40, 5), drawn evenly; for pairs at once, silent ones with one value.

    Half of the firing pictures of an "or" have the first value and half the second.
    """
    values = has_values(all_specs())
    a = values[:, first]
    b = values[:, other] if mode != "mono" else np.zeros_like(a)
    firing, silent = {"mono": ([a], [~a]), "or": ([a & ~b, b & ~a], [~a & ~b]), "and": ([a & b], [a & ~b, b & ~a])}[
        mode
    ]
    rows = [
        rng.choice(np.flatnonzero(part), N_TEST_PICTURES // len(parts), replace=False)
        for parts in (firing, silent)
        for part in parts
    ]
    found: Array = all_specs()[np.concatenate(rows)]
    return found


def _gap(levels: Array, fires: Array) -> float:
    return float(levels[fires].min() - levels[~fires].max())
