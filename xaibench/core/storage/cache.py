"""Caches: in memory for one explanation, in memory and on disk for all explanations of a problem."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from xaibench.core.keys import digest
from xaibench.core.storage.files import load_tensors, save_tensors


class MemoryCache:
    """Computes a value once per key."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str, compute: Callable[[], Any]) -> Any:
        if key not in self._values:
            self._values[key] = compute()
        return self._values[key]


class SharedCache:
    """Tensors that depend on the problem and the seed, not on the explanation.

    Held in memory up to ``max_bytes`` (least recently used first out) and, where ``folder`` is
    given, as safetensors on disk, so that the next run does not evaluate the model again.

    Parameters
    ----------
    folder : Path, optional
    scope : tuple of str
        What every key is below: problem fingerprint, seed, device, library version.
    max_bytes : int
        Memory bound; values beyond it are dropped (and read from disk or computed again).
    """

    def __init__(
        self, folder: Path | None = None, scope: tuple[str, ...] = (), *, max_bytes: int = 512 * 2**20
    ) -> None:
        self.folder = folder
        self.scope = scope
        self.max_bytes = max_bytes
        self._values: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._below: dict[tuple[str, ...], SharedCache] = {}

    def below(self, *names: object) -> SharedCache:
        """A cache of the part of a problem that these names say, the same one for the same names."""
        key = tuple(map(str, names))
        if key not in self._below:
            self._below[key] = SharedCache(self.folder, (*self.scope, *key), max_bytes=self.max_bytes)
        return self._below[key]

    def get(self, key: tuple[Any, ...], compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the tensors named by ``key`` (names, parameters, version), computing them when new."""
        name = self._name(key)
        if name in self._values:
            self._values.move_to_end(name)
            return self._values[name]
        path = None if self.folder is None else self.folder / name[:2] / f"{name}.safetensors"
        value = load_tensors(path) if path is not None else None
        if value is None:
            value = compute()
            if path is not None:
                save_tensors(path, {k: v.detach().cpu() for k, v in value.items()})
        self._remember(name, value)
        return value

    def peek(self, key: tuple[Any, ...]) -> dict[str, Tensor] | None:
        """The tensors of ``key`` if they are in memory."""
        return self._values.get(self._name(key))

    def put_in_memory(self, key: tuple[Any, ...], value: dict[str, Tensor]) -> None:
        """Cache tensors in memory only: what is quickly made again is not worth a file."""
        self._remember(self._name(key), value)

    def _name(self, key: tuple[Any, ...]) -> str:
        return digest(list(self.scope), list(key))

    def _remember(self, name: str, value: dict[str, Tensor]) -> None:
        self._values[name] = value
        while len(self._values) > 1 and self._bytes() > self.max_bytes:
            self._values.popitem(last=False)

    def _bytes(self) -> int:
        return sum(t.numel() * t.element_size() for v in self._values.values() for t in v.values())
