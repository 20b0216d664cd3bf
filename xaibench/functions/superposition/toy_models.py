"""The set of toy models: two features in one hidden unit, at probabilities on both sides of the switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.functions.superposition.autoencoder import Autoencoder, FeatureDistribution, train_autoencoder
from xaibench.functions.superposition.theory import (
    REPRESENTED,
    SolutionKind,
    closed_form_losses,
    predicted_kind,
    switching_probability,
)

N_SAMPLED_INPUTS = 256
EXPLAINED_SHARE = 0.05
"""Share of its variance from which on a feature counts as represented."""
QUADRATURE = 2e-3
"""Share by which the loss on midpoints may exceed the closed form."""
AROUND_SWITCH = 0.06
EQUAL_PROBABILITIES = (0.1, 0.3, 0.51, 0.63, 0.7, 0.8)
FEATURE_NAMES = ("feature 1", "feature 2")


@dataclass(frozen=True, eq=False)
class ToyModel:
    """What an explainer may see.

    Attributes
    ----------
    weights : Tensor (F,), or (F, H) where there are several hidden units
    biases : Tensor (F,)
    probability : float
        With which each feature is there.
    importance : Tensor (F,)
        Weight of each feature in the loss.
    inputs : Tensor (N, F)
    run : callable
        Inputs (N, F) -> reconstructions (N, F); differentiable. Each call counts as a run.
    """

    weights: Tensor
    biases: Tensor
    probability: float
    importance: Tensor
    inputs: Tensor
    run: Callable[[Tensor], Tensor]


@functions("superposition", kind="superposition", version=1)
def superposition(
    *,
    seed: int,
    solution: Literal["trained", "closed form"] = "trained",
    importance: Literal["unequal", "equal"] = "unequal",
) -> tuple[Case, ...]:
    """Autoencoders of two features with one hidden unit: which features do they represent (Elhage et al. 2022)?

    A feature is uniform on (0, 1) with probability p, and 0 otherwise; the loss is that of the first one plus
    r times that of the second. The truth of a feature is the share of its variance that the reconstruction explains.

    Parameters
    ----------
    seed : int
    solution : {"trained", "closed form"}
        The best of 24 trained nets on the exact loss, or the closed form with the smallest loss.
    importance : {"unequal", "equal"}
        Twelve cases with r = .1, .5 and 2, at probabilities on both sides of the switch and far from it; or
        six with r = 1, where trained nets do not switch as the closed forms do.
    """
    settings = _around_switches() if importance == "unequal" else ((p, 1.0) for p in EQUAL_PROBABILITIES)
    return tuple(_case(p, r, seed, solution) for p, r in settings)


def _around_switches() -> Iterator[tuple[float, float]]:
    for r in (0.1, 0.5, 2.0):
        switch = switching_probability(r)
        for p in (switch / 2, switch - AROUND_SWITCH, switch + AROUND_SWITCH, (1 + switch) / 2):
            yield p, r


def closed_form_net(kind: SolutionKind, p: float) -> Autoencoder:
    """The net behind a closed form: one feature as it is and the other at its mean, or both in opposite directions."""
    if kind == "both":
        return Autoencoder(np.array([1.0, -1.0]), np.zeros(2))
    kept = np.array(REPRESENTED[kind])
    return Autoencoder(kept, (1 - kept) * p / 2)


def _case(p: float, r: float, seed: int, solution: str) -> Case:
    name = f"superposition/r={r:g}/p={p:.3f}"
    kind, losses = predicted_kind(p, r), closed_form_losses(p, r)
    world = FeatureDistribution.of(p)
    if solution == "trained":
        net, loss = train_autoencoder(p, r, keyed_generator(seed, "train", name))
    else:
        net = closed_form_net(kind, p)
        loss = float(world.losses(net) @ np.array([1.0, r]))
    explained = np.maximum(1 - world.losses(net) / world.variances(), 0)
    rng = keyed_generator(seed, "inputs", name)
    inputs = rng.random((N_SAMPLED_INPUTS, 2)) * (rng.random((N_SAMPLED_INPUTS, 2)) < p)
    return Case(
        name,
        "superposition",
        ToyModel(
            torch.from_numpy(net.weights),
            torch.from_numpy(net.biases),
            p,
            torch.tensor([1.0, r], dtype=torch.float64),
            torch.from_numpy(inputs),
            net,
        ),
        Scores(torch.from_numpy(explained)),
        {"represented": torch.from_numpy((explained > EXPLAINED_SHARE).astype(np.float64))},
        units=FEATURE_NAMES,
        content={"inputs": inputs},
        parameters={"p": p, "r": r, "predicted": kind, "closed_form_loss": losses[kind]},
        description=f"two features with probability {p:.3f} in one hidden unit, importances 1 and {r:g}",
        gates=(
            Gate(
                "loss above that of the closed form, as a share",
                max(loss / losses[kind] - 1, 0.0),
                QUADRATURE,
                at_least=False,
            ),
        ),
    )
