"""Adversarially trained networks (Madry et al. 2018), and the wide networks of the theory about them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_registry import model
from xaibench.models.networks import build_cnn, build_mlp
from xaibench.models.training import Progress, train

Norm = Literal["l2", "linf"]
_DIFFERENTIABLE = {"gradients", "module"}


def pgd(module: nn.Module, inputs: Tensor, targets: Tensor, *, norm: Norm, epsilon: float, steps: int) -> Tensor:
    """Projected gradient ascent of the cross-entropy within a ball around each input.

    Starts at the input and makes steps of ``2.5 * epsilon / steps`` along the sign of the gradient
    (*linf*) or the gradient scaled to length 1 (*l2*), so that it needs no random numbers. Inputs
    may leave the range of the data. The module is in evaluation mode meanwhile: no statistics of
    batch normalisation move; parameters get no gradients.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : Tensor (N, *input_shape)
    targets : Tensor (N,) of int64
    norm : {"l2", "linf"}
    epsilon : float
        Radius of the ball, in input units.
    steps : int

    Returns
    -------
    Tensor (N, *input_shape)
        At a distance of at most ``epsilon`` from the inputs.
    """
    moved = torch.zeros_like(inputs)
    training = module.training
    module.eval()
    try:
        for _ in range(steps):
            with torch.enable_grad():
                leaf = (inputs + moved).requires_grad_(True)
                loss = nn.functional.cross_entropy(module(leaf), targets, reduction="sum")
                (slope,) = torch.autograd.grad(loss, leaf)
            step = 2.5 * epsilon / steps
            if norm == "linf":
                moved = (moved + step * slope.sign()).clamp(-epsilon, epsilon)
            else:
                moved = moved + step * slope / _length(slope)
                moved = moved * (epsilon / _length(moved)).clamp(max=1)
    finally:
        module.train(training)
    return inputs + moved


def _length(vectors: Tensor) -> Tensor:
    """Euclidean lengths (N, 1, ...), none of them 0."""
    lengths: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1)
    return lengths.clamp(min=torch.finfo(vectors.dtype).tiny).view(-1, *[1] * (vectors.ndim - 1))


@dataclass(frozen=True)
class RampedPGD:
    """The adversary of `train` whose radius grows linearly from 0 to ``epsilon`` over the first half of training.

    With the full radius from the start, training gets stuck before it has learned anything.
    """

    norm: Norm
    epsilon: float
    steps: int

    def __call__(self, module: nn.Module, inputs: Tensor, targets: Tensor, done: float) -> Tensor:
        radius = self.epsilon * min(1.0, 2 * done)
        return pgd(module, inputs, targets, norm=self.norm, epsilon=radius, steps=self.steps)


@model("one_hidden", provides=_DIFFERENTIABLE)
def one_hidden(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 300,
    epochs: PositiveInt = 60,
    learning_rate: PositiveFloat = 0.3,
    progress: Progress | None = None,
) -> nn.Module:
    """Wide network with one hidden layer of ReLU units, trained by plain gradient descent without weight decay.

    The model of the theory of Shah et al. 2021 (arXiv:2102.12781): gradient descent finds a solution
    of large margin.
    """
    return _fit_one_hidden(data, seed, width, epochs, learning_rate, None, progress)


@model("robust_one_hidden", provides=_DIFFERENTIABLE)
def robust_one_hidden(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 200,
    epochs: PositiveInt = 150,
    learning_rate: PositiveFloat = 1.0,
    norm: Norm = "linf",
    epsilon: PositiveFloat = 0.35,
    steps: PositiveInt = 4,
    progress: Progress | None = None,
) -> nn.Module:
    """The network of `one_hidden`, trained on adversarial examples; ``norm``, ``epsilon``, ``steps`` as in `pgd`."""
    return _fit_one_hidden(data, seed, width, epochs, learning_rate, RampedPGD(norm, epsilon, steps), progress)


def _fit_one_hidden(
    data: Data,
    seed: int,
    width: int,
    epochs: int,
    learning_rate: float,
    adversary: RampedPGD | None,
    progress: Progress | None,
) -> nn.Module:
    def build() -> nn.Module:
        first = nn.Linear(prod(data.input_shape), width)
        return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(width, data.n_outputs))

    return train(
        build, data, seed=seed, epochs=epochs, learning_rate=learning_rate, weight_decay=0.0, optimizer="sgd",
        batch_size=100, adversary=adversary, progress=progress,
    )  # fmt: skip


@model("robust_mlp", provides=_DIFFERENTIABLE)
def robust_mlp(
    data: Data,
    *,
    seed: int,
    width: PositiveInt = 128,
    epochs: PositiveInt = 15,
    norm: Norm = "l2",
    epsilon: PositiveFloat = 3.0,
    steps: PositiveInt = 5,
    progress: Progress | None = None,
) -> nn.Module:
    """The network of `mlp`, trained on adversarial examples; ``norm``, ``epsilon``, ``steps`` as in `pgd`."""
    return train(
        lambda: build_mlp(data, width), data, seed=seed, epochs=epochs, batch_size=100,
        adversary=RampedPGD(norm, epsilon, steps), progress=progress,
    )  # fmt: skip


@model("robust_cnn", provides=_DIFFERENTIABLE, features={"image"})
def robust_cnn(
    data: Data,
    *,
    seed: int,
    channels: PositiveInt = 16,
    epochs: PositiveInt = 6,
    norm: Norm = "l2",
    epsilon: PositiveFloat = 3.0,
    steps: PositiveInt = 3,
    progress: Progress | None = None,
) -> nn.Module:
    """The network of `cnn`, trained on adversarial examples; ``norm``, ``epsilon``, ``steps`` as in `pgd`."""
    return train(
        lambda: build_cnn(data, channels), data, seed=seed, epochs=epochs, batch_size=100,
        adversary=RampedPGD(norm, epsilon, steps), progress=progress,
    )  # fmt: skip
