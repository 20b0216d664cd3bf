"""Training of the built-in networks: deterministic, on one CPU thread, and skipped when weights are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.errors import UsageError
from xaibench.core.keys import seed as derive_seed

Progress = Callable[[int, int, str], None]
"""Called with (done, total, text)."""


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
    progress: Progress | None = None,
) -> nn.Module:
    """Build a network that returns logits and train it with cross-entropy.

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
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(derive_seed("train", seed))
        module = build()
        if not _take_known(module):
            _fit(module, data, epochs, learning_rate, weight_decay, progress)
    return module.eval()


def _fit(
    module: nn.Module,
    data: Data,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    progress: Progress | None,
) -> None:
    inputs, targets = torch.from_numpy(data.train_inputs), torch.from_numpy(data.train_targets)
    batch_size = min(max(len(inputs) // 40, 16), 64)
    batches = -(-len(inputs) // batch_size)
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * batches)
    module.train()
    with torch.enable_grad():
        for epoch in range(epochs):
            total = torch.zeros(())
            for rows in torch.split(torch.randperm(len(inputs)), batch_size):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(module(inputs[rows]), targets[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += loss.detach()
            if progress is not None:
                progress(epoch + 1, epochs, f"loss {float(total) / batches:.3f}")


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
