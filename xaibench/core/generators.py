"""The global random generators, which other libraries draw from: seeded for one call, and put back afterwards."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_of_sample(seed: int, stream: str, sample: bytes) -> int:
    """A seed of 32 bits keyed by (seed, stream, sample), as the draws of our own explainers are.

    Parameters
    ----------
    seed : int
    stream : str
        Name of the stream, such as ``explain/captum:KernelShap``.
    sample : bytes
        Digest of the sample.
    """
    found = hashlib.blake2b(f"{seed}\0{stream}\0".encode() + sample, digest_size=4).digest()
    return int.from_bytes(found, "little")


@contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of torch, numpy and `random`; afterwards all are as they were, whatever happens.

    Whether gradients are recorded is put back as well.

    Parameters
    ----------
    seed : int
        Below 2^32.

    Examples
    --------
    >>> import torch
    >>> from xaibench.core.generators import seeded_generators
    >>> before = torch.get_rng_state()
    >>> with seeded_generators(3):
    ...     drawn = torch.rand(2)
    >>> with seeded_generators(3):
    ...     again = torch.rand(2)
    >>> torch.equal(drawn, again), torch.equal(before, torch.get_rng_state())
    (True, True)
    """
    numbers, own, recording = np.random.get_state(), random.getstate(), torch.is_grad_enabled()  # noqa: NPY002
    initialised = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if initialised else []
    with torch.random.fork_rng(devices):
        try:
            torch.default_generator.manual_seed(seed)
            if devices:
                torch.cuda.manual_seed_all(seed)
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numbers)  # noqa: NPY002
            random.setstate(own)
            torch.set_grad_enabled(recording)
