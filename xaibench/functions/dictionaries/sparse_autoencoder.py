"""Sparse autoencoders of six kinds, with one loop that trains them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from xaibench.functions.dictionaries.activation_rules import (
    JumpReLU,
    StepFunction,
    largest_of_batch,
    largest_of_rows,
    matching_pursuit,
)

Architecture = Literal["l1", "topk", "batchtopk", "jumprelu", "matryoshka", "matching_pursuit"]
SAE_LEARNING_RATE, WARM_UP, DECAY_FROM = 1e-3, 100, 0.8
SAE_BATCH = 256
LARGEST_GRADIENT = 1.0
BANDWIDTH, FIRST_THRESHOLD = 2.0, 1.0
"""Of JumpReLU, in the unit of the codes, which are about 4. With a bandwidth of .5 the penalty hardly reaches the
thresholds: as few latents are active as the reconstruction alone wants, whatever the penalty."""
FIRST_PENALTY: dict[str, float] = {"l1": 0.01, "jumprelu": 0.01}
PENALTY_BOUNDS, PENALTY_STEP = (1e-4, 50.0), 0.03
"""The weight of the penalty is controlled so that as many latents are active as are meant to be."""
DEAD_AFTER, REVIVAL = 200, 1 / 32
"""Steps of silence after which a latent is dead, and the weight of the loss that revives it."""
REVIVED = frozenset({"topk", "batchtopk", "matryoshka"})
PREFIXES = (16, 4)
"""Matryoshka: the first m/16 and m/4 latents must reconstruct the input too, each on their own."""
THRESHOLD_MEMORY = 0.99


@dataclass(eq=False)
class SparseAutoencoder:
    """x^ = b + a D with sparse codes a.

    Attributes
    ----------
    architecture : str
    k : int
        Latents that are to be active at once, on average.
    encoder : Tensor (m, d)
        Not used by matching pursuit, whose codes come from the decoder.
    encoder_bias : Tensor (m,)
    decoder : Tensor (m, d)
        Directions of unit length.
    bias : Tensor (d,)
    log_threshold : Tensor (m,)
        Of JumpReLU.
    threshold : float
        Of BatchTopK and Matryoshka at test: running mean of that of the batches.
    """

    architecture: Architecture
    k: int
    encoder: Tensor
    encoder_bias: Tensor
    decoder: Tensor
    bias: Tensor
    log_threshold: Tensor
    threshold: float = 0.0

    @classmethod
    def of(cls, architecture: Architecture, k: int, directions: Tensor, bias: Tensor) -> SparseAutoencoder:
        """An untrained one: directions (m, d) of unit length, the encoder their transpose."""
        m = len(directions)
        return cls(
            architecture,
            k,
            directions.clone(),
            directions.new_zeros(m),
            directions.clone(),
            bias.clone(),
            directions.new_full((m,), float(np.log(FIRST_THRESHOLD))),
        )

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained."""
        found = [self.decoder, self.bias]
        if self.architecture != "matching_pursuit":
            found += [self.encoder, self.encoder_bias]
        return [*found, self.log_threshold] if self.architecture == "jumprelu" else found

    def before(self, inputs: Tensor) -> Tensor:
        """Latents (n, m) before most of them are set to 0, at least 0."""
        return torch.addmm(self.encoder_bias, inputs - self.bias, self.encoder.T).relu()

    def codes(self, inputs: Tensor) -> Tensor:
        """Codes (n, m) of inputs (n, d) when the training is over, each independent of the others."""
        if self.architecture == "matching_pursuit":
            return matching_pursuit(inputs - self.bias, self.decoder, self.k)
        z = self.before(inputs)
        if self.architecture == "topk":
            return largest_of_rows(z, self.k)
        if self.architecture == "jumprelu":
            return z * (z > self.log_threshold.exp())
        return z if self.architecture == "l1" else z * (z >= self.threshold)


def train_sparse_autoencoder(
    model: SparseAutoencoder,
    inputs: Tensor,
    rng: np.random.Generator,
    *,
    steps: int,
    constrain: Callable[[Tensor], Tensor] | None = None,
) -> SparseAutoencoder:
    """Train a sparse autoencoder in place by Adam, with a linear warm-up and decay.

    Parameters
    ----------
    model : SparseAutoencoder
    inputs : Tensor (N, d)
    rng : Generator
        Of batches.
    steps : int
    constrain : callable, optional
        What becomes of the decoder (m, d) after each step, before its rows get unit length.
    """
    parameters = [p.requires_grad_() for p in model.parameters]
    optimiser = torch.optim.Adam(parameters, lr=SAE_LEARNING_RATE, fused=True)
    silent = torch.zeros(len(model.decoder), dtype=torch.int64)
    log_penalty = float(np.log(FIRST_PENALTY.get(model.architecture, 1.0)))
    for step, rows in enumerate(torch.from_numpy(rng.integers(len(inputs), size=(steps, SAE_BATCH)))):
        left = (steps - step) / (steps * (1 - DECAY_FROM))
        optimiser.param_groups[0]["lr"] = SAE_LEARNING_RATE * min(1.0, (step + 1) / WARM_UP, left)
        x = inputs[rows]
        loss, codes = _loss(model, x, float(np.exp(log_penalty)), silent >= DEAD_AFTER)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)
        optimiser.step()
        with torch.no_grad():
            if constrain is not None:
                model.decoder.copy_(constrain(model.decoder))
            model.decoder /= model.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12)
            active = codes > 0
            silent = torch.where(active.any(dim=0), 0, silent + 1)
            ratio = float(active.sum()) / SAE_BATCH / model.k
        moved = log_penalty + PENALTY_STEP * min(max(ratio - 1, -1.0), 1.0)
        log_penalty = float(np.clip(moved, *np.log(PENALTY_BOUNDS)))
    for p in parameters:
        p.requires_grad_(False)
    return model


def _loss(model: SparseAutoencoder, x: Tensor, penalty: float, dead: Tensor) -> tuple[Tensor, Tensor]:
    """The loss on a batch (n, d), and its codes (n, m)."""
    if model.architecture == "matching_pursuit":
        codes = matching_pursuit(x - model.bias, model.decoder, model.k)
        return _error(x - model.bias - codes @ model.decoder), codes
    z = model.before(x)
    codes = _training_codes(model, z)
    errors = x - model.bias - codes @ model.decoder
    loss = _error(errors)
    if model.architecture == "l1":
        loss = loss + penalty * codes.sum(dim=1).mean()
    elif model.architecture == "jumprelu":
        on: Tensor = StepFunction.apply(z, model.log_threshold.exp(), BANDWIDTH)  # type: ignore[no-untyped-call]
        loss = loss + penalty * on.sum(dim=1).mean()
    elif model.architecture == "matryoshka":
        for share in PREFIXES:
            first = len(model.decoder) // share
            loss = loss + _error(x - model.bias - codes[:, :first] @ model.decoder[:first])
    if model.architecture in REVIVED and bool(dead.any()):
        revived = largest_of_rows(z * dead, min(int(dead.sum()), len(model.bias) // 2))
        loss = loss + REVIVAL * _error(errors.detach() - revived @ model.decoder)
    return loss, codes.detach()


def _training_codes(model: SparseAutoencoder, z: Tensor) -> Tensor:
    """Codes (n, m) of a batch of latents, which may depend on all of it."""
    if model.architecture == "topk":
        return largest_of_rows(z, model.k)
    if model.architecture == "jumprelu":
        found: Tensor = JumpReLU.apply(z, model.log_threshold.exp(), BANDWIDTH)  # type: ignore[no-untyped-call]
        return found
    if model.architecture == "l1":
        return z
    codes, smallest = largest_of_batch(z, model.k)
    started = model.threshold > 0
    model.threshold = THRESHOLD_MEMORY * model.threshold + (1 - THRESHOLD_MEMORY) * smallest if started else smallest
    return codes


def _error(left: Tensor) -> Tensor:
    """Mean over inputs of the squared length of what is left (n, d)."""
    return left.square().sum(dim=1).mean()
