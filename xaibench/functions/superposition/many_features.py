"""Eight features in three hidden units: the fewer are there at once, the more are represented."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xaibench.core.cases.answers import Scores
from xaibench.core.cases.case import Case
from xaibench.core.draws import keyed_generator
from xaibench.core.gates import Gate
from xaibench.core.program_registry import functions
from xaibench.functions.superposition.toy_models import EXPLAINED_SHARE, N_SAMPLED_INPUTS, ToyModel

N_FEATURES, N_HIDDEN = 8, 3
IMPORTANCE_DECAY = 0.9
PROBABILITIES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
N_STEPS, N_TOY_STARTS, TOY_BATCH, TOY_LEARNING_RATE = 1500, 4, 256, 0.01
N_MEASURED = 20_000


@dataclass(frozen=True, eq=False)
class LinearAutoencoder:
    """relu(W W' x + b).

    Attributes
    ----------
    weights : Tensor (features, hidden)
    biases : Tensor (features,)
    """

    weights: Tensor
    biases: Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """Reconstruct inputs (N, features)."""
        weights, biases = self.weights.to(inputs.dtype), self.biases.to(inputs.dtype)
        return (inputs @ weights @ weights.T + biases).relu()


@functions("superposition_of_eight", kind="superposition", version=1)
def superposition_of_eight(*, seed: int) -> tuple[Case, ...]:
    """Autoencoders of eight features with three hidden units, at six probabilities (Elhage et al. 2022).

    A feature is uniform on (0, 1) with probability p, and 0 otherwise; feature i has the importance .9^i. The truth
    of a feature is the share of its variance that the reconstruction explains, on 20,000 inputs.

    Parameters
    ----------
    seed : int
    """
    return tuple(_case(p, seed) for p in PROBABILITIES)


def train_eight(p: float, importance: Tensor, rng: np.random.Generator) -> LinearAutoencoder:
    """The best of four nets on a sample of 20,000 inputs, each trained by Adam on fresh inputs."""
    n = len(importance)
    weights = torch.from_numpy(rng.standard_normal((N_TOY_STARTS, n, N_HIDDEN)) / np.sqrt(n)).float().requires_grad_()
    biases = torch.zeros(N_TOY_STARTS, 1, n, requires_grad=True)
    optimiser = torch.optim.Adam([weights, biases], lr=TOY_LEARNING_RATE, fused=True)
    for step in range(N_STEPS):
        optimiser.param_groups[0]["lr"] = TOY_LEARNING_RATE * (1 - step / N_STEPS)
        x = sparse_inputs(TOY_BATCH, n, p, rng).float()
        found = (x @ weights @ weights.transpose(1, 2) + biases).relu()
        loss = ((found - x).square() * importance.float()).sum(dim=2).mean(dim=1).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    held_out = sparse_inputs(N_MEASURED, n, p, rng)
    nets = [
        LinearAutoencoder(w, b[0]) for w, b in zip(weights.detach().double(), biases.detach().double(), strict=True)
    ]
    return min(nets, key=lambda net: float(mean_errors(net, held_out) @ importance))


def sparse_inputs(n: int, features: int, p: float, rng: np.random.Generator) -> Tensor:
    """Inputs (n, features): uniform on (0, 1) with probability p, and 0 otherwise."""
    return torch.from_numpy(rng.random((n, features)) * (rng.random((n, features)) < p))


def mean_errors(net: LinearAutoencoder, inputs: Tensor) -> Tensor:
    """Mean squared error of each feature, (features,)."""
    found: Tensor = (net(inputs) - inputs).square().mean(dim=0)
    return found


def _case(p: float, seed: int) -> Case:
    name = f"superposition_of_eight/p={p:g}"
    importance = IMPORTANCE_DECAY ** torch.arange(N_FEATURES, dtype=torch.float64)
    net = train_eight(p, importance, keyed_generator(seed, "train", name))
    measured = sparse_inputs(N_MEASURED, N_FEATURES, p, keyed_generator(seed, "measure", name))
    left = mean_errors(net, measured) / measured.var(dim=0, correction=0)
    explained = (1 - left).clamp_min(0)
    inputs = sparse_inputs(N_SAMPLED_INPUTS, N_FEATURES, p, keyed_generator(seed, "inputs", name))
    variances = measured.var(dim=0, correction=0)
    constant, best = float(importance.sum() * variances.mean()), float(importance[:N_HIDDEN].sum() * variances.mean())
    loss = float((left * variances) @ importance)
    return Case(
        name,
        "superposition",
        ToyModel(net.weights, net.biases, p, importance, inputs, net),
        Scores(explained),
        {"represented": (explained > EXPLAINED_SHARE).double()},
        units=tuple(f"feature {i + 1}" for i in range(N_FEATURES)),
        content={"inputs": inputs.numpy()},
        parameters={"p": p, "large weights": int((net.weights.norm(dim=1) > 0.5).sum())},
        description=f"eight features with probability {p:g} in three hidden units",
        gates=(
            Gate(
                "loss as a share of that of the three most important features alone",
                loss / (constant - best),
                1.02,
                at_least=False,
            ),
        ),
    )
