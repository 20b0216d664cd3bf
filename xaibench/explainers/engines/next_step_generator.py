"""A GRU that predicts mean and variance of the next step of a series, fitted to the background and cached."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from xaibench.core.errors import StoreError
from xaibench.core.keys import array_digest, digest, seed
from xaibench.core.storage.files import load_tensors_and_metadata, save_tensors
from xaibench.core.storage.paths import cache_folder

GENERATOR_VERSION = 1
"""Raised when the fitted weights change."""
GENERATOR_LEARNING_RATE = 1e-2
LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE = -8.0, 8.0


@dataclass(frozen=True)
class NextStep:
    """What a generator expects at every step (N, T, D), given the steps before it.

    Attributes
    ----------
    mean, deviation : Tensor (N, T, D)
    """

    mean: Tensor
    deviation: Tensor


class NextStepGenerator(nn.Module):
    """Mean and standard deviation of every step given the clean steps before it; sensors are independent given these.

    Parameters
    ----------
    sensors, width : int
    """

    def __init__(self, sensors: int, width: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(sensors, width, batch_first=True)
        self.head = nn.Linear(width, 2 * sensors)

    def forward(self, series: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (N, T, D) of every step."""
        past = torch.cat([torch.zeros_like(series[:, :1]), series[:, :-1]], dim=1)
        states, _ = self.recurrent(past)
        mean, log_variance = self.head(states).chunk(2, dim=2)
        return mean, log_variance.clamp(LEAST_LOG_VARIANCE, MOST_LOG_VARIANCE)

    def of(self, series: Tensor) -> NextStep:
        """What is expected at the steps of series (N, T, D), without gradients."""
        with torch.no_grad():
            mean, log_variance = self(series)
        return NextStep(mean, (log_variance / 2).exp())


def fitted_generator(background: Tensor, width: int, epochs: int) -> NextStepGenerator:
    """The generator of series like these, fitted by maximum likelihood, or as the cache has it.

    Parameters
    ----------
    background : Tensor (M, T, D)
        All that it is fitted to; the fitted weights depend on nothing else, nor on the caller's random state.
    width, epochs : int
    """
    series = background.detach().cpu().float()
    key = digest(
        "next step generator", GENERATOR_VERSION, torch.__version__, array_digest(series.numpy()), width, epochs
    )
    path = cache_folder() / "artefacts" / f"{key}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed("next step generator", key))
        generator = NextStepGenerator(series.shape[2], width)
        known = _cached(path)
        if known is not None:
            generator.load_state_dict(known)
        else:
            _fit(generator, series, epochs)
            with suppress(StoreError):  # A cache that cannot be written costs another fit the next time.
                save_tensors(path, {name: t.detach().clone() for name, t in generator.state_dict().items()}, {})
    return generator.eval().to(background.device)


def _cached(path: Path) -> dict[str, Tensor] | None:
    try:
        known = load_tensors_and_metadata(path)
    except (OSError, ValueError, KeyError):
        return None
    return None if known is None else known[0]


def _fit(generator: NextStepGenerator, series: Tensor, epochs: int) -> None:
    """Minimise the negative Gaussian log likelihood of all steps, one step of Adam per epoch."""
    step = torch.optim.Adam(generator.parameters(), lr=GENERATOR_LEARNING_RATE)
    generator.train()
    with torch.enable_grad():
        for _ in range(epochs):
            step.zero_grad()
            mean, log_variance = generator(series)
            loss = (log_variance + (series - mean).square() / log_variance.exp()).mean()
            loss.backward()
            step.step()
