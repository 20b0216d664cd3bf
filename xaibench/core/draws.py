"""Random draws keyed by (seed, stream, sample), so that a sample gets the same draws alone or in any batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Shape = tuple[int, ...]


def keyed_generator(seed: int, stream: str, name: str) -> np.random.Generator:
    """Random numbers keyed by (seed, stream, name of a function or a case): Philox, as in `Draws`."""
    key = hashlib.blake2b(f"{seed}\0{stream}\0{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(key, "<u8")))


class Draws:
    """Counter-based random numbers for N samples.

    Every sample has a generator of its own (Philox, Salmon et al. 2011), keyed by the seed, the
    name of the stream, the digest of the sample and the number of earlier calls on this object.
    Position in a batch, batch size and order play no role.

    Parameters
    ----------
    seed : int
    stream : str
        Name of the stream, e.g. ``"explain/smoothgrad"``. Two streams are independent.
    digests : sequence of bytes
        One per sample; equal digests give equal draws.
    device : torch.device or str
        Where the drawn tensors are put. Numbers are made on the CPU, so they are the same everywhere.

    Notes
    -----
    Consecutive calls give fresh numbers. ``draws[rows]`` selects some samples (a slice or an index
    tensor) and the call counter, so a loop over blocks of samples draws what one call over all of
    them would.

    Examples
    --------
    A sample draws the same numbers alone and among others:

    >>> import torch
    >>> import xaibench as xb
    >>> both = xb.Draws(0, "example", [b"first", b"second"]).normal((3,))
    >>> alone = xb.Draws(0, "example", [b"second"]).normal((3,))
    >>> torch.equal(both[1], alone[0])
    True
    """

    def __init__(
        self,
        seed: int,
        stream: str,
        digests: Sequence[bytes],
        *,
        device: torch.device | str = "cpu",
        calls: int = 0,
    ) -> None:
        self.seed = seed
        self.stream = stream
        self.digests = tuple(digests)
        self.device = torch.device(device)
        self.calls = calls

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, rows: slice | Tensor | Sequence[int]) -> Draws:
        if isinstance(rows, slice):
            chosen = self.digests[rows]
        else:
            index = rows.tolist() if isinstance(rows, Tensor) else rows
            chosen = tuple(map(self.digests.__getitem__, index))
        return Draws(self.seed, self.stream, chosen, device=self.device, calls=self.calls)

    def child(self, name: str) -> Draws:
        """Return an independent stream named below this one, with its own call counter."""
        return Draws(self.seed, f"{self.stream}/{name}", self.digests, device=self.device)

    def _fill(self, shape: Shape, dtype: Any, one: Callable[[np.random.Generator], Any]) -> Tensor:
        prefix = f"{self.seed}\0{self.stream}\0{self.calls}\0".encode()
        self.calls += 1
        out = np.empty((len(self.digests), *shape), dtype=dtype)
        # Setting the key of one generator is several times faster than making a generator for every sample.
        philox = np.random.Philox(key=0)
        generator, state = np.random.Generator(philox), philox.state
        keyed = (hashlib.blake2b(prefix + sample, digest_size=16).digest() for sample in self.digests)
        keys = np.frombuffer(b"".join(keyed), "<u8").reshape(-1, 2)
        done: dict[bytes, int] = {}
        for i, sample in enumerate(self.digests):
            first = done.setdefault(sample, i)
            if first == i:
                state["state"]["key"] = keys[i]
                philox.state = state
                out[i] = one(generator)
            else:
                out[i] = out[first]
        return torch.from_numpy(out).to(self.device)

    def normal(self, shape: Shape = ()) -> Tensor:
        """Standard normal numbers, float32, shape (N, *shape)."""
        return self._fill(shape, np.float32, lambda g: g.standard_normal(shape, dtype=np.float32))

    def uniform(self, shape: Shape = ()) -> Tensor:
        """Numbers from U[0, 1), float32, shape (N, *shape)."""
        return self._fill(shape, np.float32, lambda g: g.random(shape, dtype=np.float32))

    def integers(self, high: int, shape: Shape = ()) -> Tensor:
        """Integers from 0 to ``high - 1``, int64, shape (N, *shape)."""
        return self._fill(shape, np.int64, lambda g: g.integers(high, size=shape or None))

    def permutation(self, shape: Shape) -> Tensor:
        """Permutations of ``range(shape[-1])`` along the last axis, int64, shape (N, *shape)."""
        return self._fill(shape, np.int64, lambda g: g.random(shape).argsort(axis=-1, kind="stable"))

    def subsets(self, n: int, size: int, shape: Shape = ()) -> Tensor:
        """Draw subsets of ``size`` members of ``range(n)``, as bool (N, *shape, n).

        Raises
        ------
        ValueError
            If there are fewer members than ``size``.
        """
        if not 0 < size <= n:
            raise ValueError(f"cannot choose {size} distinct members out of {n}")

        def one(g: np.random.Generator) -> Any:
            keys = g.random((*shape, n), dtype=np.float32)
            chosen = keys <= np.sort(keys, axis=-1)[..., size - 1 : size]
            if np.count_nonzero(chosen) != size * (chosen.size // n):
                # Equal keys at the border, about one row in 20,000 at n = 784: the first ones are chosen.
                chosen = keys.argsort(axis=-1, kind="stable").argsort(axis=-1) < size
            return chosen

        return self._fill((*shape, n), np.bool_, one)

    def choice(self, n: int, shape: Shape) -> Tensor:
        """Draw ``shape[-1]`` distinct members of ``range(n)`` along the last axis, ascending, int64 (N, *shape)."""
        return self.subsets(n, shape[-1], shape[:-1]).nonzero()[:, -1].view(len(self), *shape)
