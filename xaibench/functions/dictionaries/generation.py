"""The set of worlds of features: what an explainer sees of them, the best dictionary of a size, and gates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import PositiveInt
from torch import Tensor

from xaibench.core.cases.answers import Dictionary
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.functions.dictionaries.matching import firing_f1, mean_cosine
from xaibench.functions.dictionaries.worlds import FeatureWorld, feature_world

N_TRAIN, N_TEST = 40_000, 4_000
STANDARD_ERRORS = 4.0
"""How far measured rates of roots may be from the closed form."""
PRODUCT_TOLERANCE = 1.1
"""Root mean square of the products of directions, at most, as a multiple of 1/sqrt(d)."""
Preset = Literal["small", "medium"]
PRESETS: dict[Preset, dict[str, float]] = {
    "small": {"d": 32, "n": 256, "p_max": 0.4, "p_min": 0.0005},
    "medium": {"d": 64, "n": 512, "p_max": 0.2, "p_min": 0.0005},
}
FEATURES_PER_DIRECTION = 4
"""Features of a world for each direction of a dictionary; 16,384 and 4,096 in SynthSAEBench."""


@dataclass(frozen=True, eq=False)
class FeatureInputs:
    """What an explainer may see.

    Attributes
    ----------
    train : Tensor (N, d)
        Inputs to learn a dictionary from, float32.
    test : Tensor (T, d)
        Inputs whose codes are asked for.
    m : int
        Directions that a dictionary is to have.
    k : int
        Features that are active in an input on average, rounded: the number of codes that are not 0.
    """

    train: Tensor
    test: Tensor
    m: int
    k: int


@functions("synth_sae", kind="dictionary", version=1)
def synth_sae(*, seed: int, n: PositiveInt = 6, preset: Preset = "small") -> tuple[Case, ...]:
    """Worlds of known features in superposition, for dictionaries of a quarter as many directions (SynthSAEBench).

    An input is a sum of few unit directions times activations. Features are more frequent the lower their number;
    most are in a forest, where a child is active only with its parent and siblings exclude each other; a
    Gaussian copula correlates them.

    Parameters
    ----------
    seed : int
    n : int
        Worlds.
    preset : {"small", "medium"}
        256 features in 32 dimensions, or 512 in 64.
    """
    return tuple(_case(f"synth_sae/{i}", seed, preset) for i in range(n))


def _case(name: str, seed: int, preset: Preset) -> Case:
    size = PRESETS[preset]
    world = feature_world(
        keyed_generator(seed, "world", name),
        d=int(size["d"]),
        n=int(size["n"]),
        p_max=size["p_max"],
        p_min=size["p_min"],
    )
    train, behind = world.sample(N_TRAIN, keyed_generator(seed, "train", name))
    test, activations = world.sample(N_TEST, keyed_generator(seed, "test", name))
    m = len(world.rates) // FEATURES_PER_DIRECTION
    density = float((behind > 0).sum(dim=1).double().mean())
    best = strongest_features(behind, m)
    truth = Dictionary(
        world.directions[best],
        activations[:, best].contiguous(),
        activations[:, best] @ world.directions[best],
        facts={"features": best.tolist()},
    )
    return Case(
        name,
        "dictionary",
        FeatureInputs(train, test, m, round(density)),
        truth,
        {"directions": world.directions, "activations": activations},
        parameters={"preset": preset, "active features": round(density, 3)},
        description=f"{len(world.rates)} features in {train.shape[1]} dimensions, {density:.1f} at once",
        gates=_gates(world, behind, truth, activations),
        content={"seed": seed, "preset": preset},
    )


def strongest_features(activations: Tensor, m: int) -> Tensor:
    """Numbers (m,) of the features with the largest sum of squared activations (N, n), in rising order."""
    energy = activations.double().square().sum(dim=0)
    return energy.argsort(descending=True, stable=True)[:m].sort().values


def _gates(world: FeatureWorld, activations: Tensor, truth: Dictionary, tested: Tensor) -> tuple[Gate, ...]:
    """Whether rates, directions and the truth are what they are meant to be."""
    p = world.root_rates()
    measured = (activations[:, : len(p)] > 0).double().mean(dim=0).numpy()
    errors = np.abs(measured - p) / np.sqrt(p * (1 - p) / len(activations))
    products = (world.directions @ world.directions.T).fill_diagonal_(0)
    count, d = world.directions.shape
    root_mean_square = float((products.square().sum() / (count * (count - 1))).sqrt())
    return (
        Gate(
            "largest error of the rate of a root, in standard errors",
            float(errors.max()),
            STANDARD_ERRORS,
            at_least=False,
        ),
        Gate("products of directions times sqrt(d)", root_mean_square * d**0.5, PRODUCT_TOLERANCE, at_least=False),
        Gate("F1 of the truth", firing_f1(truth, world.directions, tested), 1.0),
        Gate("mean cosine of the truth", mean_cosine(truth.directions, world.directions), 1 - 1e-6),
    )
