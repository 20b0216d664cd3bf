"""Training of the built-in networks: deterministic, on one CPU thread, and skipped when weights are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.keys import seed as derive_seed
from xaibench.core.types import Array

Progress = Callable[[int, int, str], None]
"""Called with (done, total, text)."""

Adversary = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""Called with (module, inputs, targets, share of the steps done) before a step; gives what the step is on instead."""


@dataclass
class Weights:
    """Known weights that the next `train` may take; ``used`` tells whether it did."""

    tensors: Mapping[str, Tensor]
    used: bool = False


_known: ContextVar[Weights | None] = ContextVar("known_weights", default=None)


@contextmanager
def known_weights(weights: Weights | None) -> Iterator[None]:
    """Within this context the first `train` whose module fits ``weights`` loads them instead of training."""
    token = _known.set(weights)
    try:
        yield
    finally:
        _known.reset(token)


def train(
    build: Callable[[], nn.Module],
    data: Data,
    *,
    seed: int,
    epochs: int,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    optimizer: Literal["adamw", "sgd"] = "adamw",
    batch_size: int | None = None,
    adversary: Adversary | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Build a network that returns logits and train it with cross-entropy; where data have values, with squared error.

    AdamW with a one-cycle schedule; batches of 16 to 64 samples, about 40 to an epoch. The result
    depends on the seed, the data and the type of the machine: not on the caller's random state,
    which is left as it was, nor on the number of threads, nor on the device that explains later.

    Parameters
    ----------
    build : callable
        Makes the untrained module; called with the seeded random state.
    data : Data
    seed : int
    epochs : int
    learning_rate : float
        Peak of the schedule.
    weight_decay : float
    optimizer : {"adamw", "sgd"}
        Plain stochastic gradient descent keeps the learning rate constant.
    batch_size : int, optional
    adversary : callable, optional
        Changes every batch before the step on it, as adversarial training does.
    progress : callable, optional
        Called after every epoch.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    UsageError
        If ``epochs`` is less than 1.
    """
    if epochs < 1:
        raise UsageError(f"epochs must be at least 1, not {epochs}")

    def fit(module: nn.Module) -> None:
        size = batch_size or default_batch_size(data)
        _fit(module, data, epochs, learning_rate, weight_decay, optimizer, size, adversary, progress)

    return build_and_fit(build, fit, seed=seed)


def default_batch_size(data: Data) -> int:
    """Training samples in a batch: about 40 batches to an epoch, of 16 to 64 samples."""
    return min(max(len(data.train_inputs) // 40, 16), 64)


def build_and_fit(build: Callable[[], nn.Module], fit: Callable[[nn.Module], None], *, seed: int) -> nn.Module:
    """Build a module and fit it, on one thread and with a random state of its own; known weights are loaded instead.

    Parameters
    ----------
    build : callable
        Makes the untrained module.
    fit : callable
        Trains it in place.
    seed : int

    Returns
    -------
    torch.nn.Module
        In evaluation mode.
    """
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(derive_seed("train", seed))
        module = build()
        if not _take_known(module):
            fit(module)
    return module.eval()


def _fit(
    module: nn.Module,
    data: Data,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    optimizer: Literal["adamw", "sgd"],
    batch_size: int,
    adversary: Adversary | None,
    progress: Progress | None,
) -> None:
    inputs, targets = torch.from_numpy(data.train_inputs), torch.from_numpy(_learned(data))
    context = {name: torch.from_numpy(values) for name, values in data.train_context.items()}
    batches = -(-len(inputs) // batch_size)
    step, schedule = scheduled(module, optimizer, learning_rate, weight_decay, epochs * batches)
    module.train()
    with torch.enable_grad():
        for epoch in range(epochs):
            total = torch.zeros(())
            for number, rows in enumerate(torch.split(torch.randperm(len(inputs)), batch_size)):
                batch, wanted = inputs[rows], targets[rows]
                if adversary is not None:
                    batch = adversary(module, batch, wanted, (epoch + number / batches) / epochs)
                step.zero_grad()
                loss = _loss(module(batch, **{name: values[rows] for name, values in context.items()}), wanted)
                loss.backward()  # type: ignore[no-untyped-call]
                step.step()
                schedule.step()
                total += loss.detach()
            if progress is not None:
                progress(epoch + 1, epochs, f"loss {float(total) / batches:.3f}")


def _learned(data: Data) -> Array:
    """What a network learns to say of the training rows: values, labels that may be true together, or classes."""
    beside = data.train_values if data.train_values is not None else data.train_labels
    return data.train_targets if beside is None else beside


def _loss(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Squared error of numbers, cross-entropy of classes (N,), mean binary cross-entropy of labels (N, L) of bool."""
    if wanted.dtype == torch.bool:
        return nn.functional.binary_cross_entropy_with_logits(outputs, wanted.to(outputs))
    if wanted.dtype.is_floating_point:
        return nn.functional.mse_loss(outputs if wanted.ndim == 2 else outputs.squeeze(1), wanted)
    return nn.functional.cross_entropy(outputs, wanted)


def scheduled(
    module: nn.Module, name: Literal["adamw", "sgd"], learning_rate: float, weight_decay: float, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """An optimizer of the module's parameters and the schedule of its learning rate: one cycle, of sgd constant."""
    if name == "sgd":
        sgd = torch.optim.SGD(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
        return sgd, torch.optim.lr_scheduler.ConstantLR(sgd, factor=1.0)
    adamw = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    return adamw, torch.optim.lr_scheduler.OneCycleLR(adamw, learning_rate, total_steps=steps)


def _take_known(module: nn.Module) -> bool:
    weights = _known.get()
    if weights is None or weights.used:
        return False
    own = {name: (t.shape, t.dtype) for name, t in module.state_dict().items()}
    if own != {name: (t.shape, t.dtype) for name, t in weights.tensors.items()}:
        return False
    module.load_state_dict(dict(weights.tensors))
    weights.used = True
    return True


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
