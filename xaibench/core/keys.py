"""Canonical JSON, content digests and seeds derived by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

KEY_VERSION = 1
"""Raised when the meaning of a key changes, so that old results are recomputed."""


def _plain(value: Any) -> Any:
    """Turn numpy scalars, tuples and sets into JSON types; floats that are whole stay floats."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(v) for v in value), key=repr)
    if isinstance(value, np.generic):
        return value.item()
    return value


def canonical_json(value: Any) -> str:
    """Serialise to JSON with sorted keys and no white space: equal values give equal strings."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(*parts: Any, size: int = 16) -> str:
    """Hex BLAKE2b digest of the canonical JSON of ``parts``, `size` bytes long."""
    return hashlib.blake2b(canonical_json(list(parts)).encode(), digest_size=size).hexdigest()


def digest_of_json(*documents: str, size: int = 16) -> str:
    """`digest` of parts whose canonical JSON is known: the same digest, without serialising them again."""
    return hashlib.blake2b(f"[{','.join(documents)}]".encode(), digest_size=size).hexdigest()


def array_digest(array: np.ndarray[Any, Any], *, size: int = 16) -> str:
    """Hex digest of an array: dtype, shape and bytes."""
    data = np.ascontiguousarray(array)
    h = hashlib.blake2b(f"{data.dtype.str}{data.shape}".encode(), digest_size=size)
    h.update(data.tobytes())
    return h.hexdigest()


def row_digests(rows: np.ndarray[Any, Any]) -> tuple[bytes, ...]:
    """One 16-byte digest per row of ``rows`` (N, ...): the identity that random draws are keyed by."""
    data = np.ascontiguousarray(rows)
    header = f"{data.dtype.str}{data.shape[1:]}".encode()
    return tuple(hashlib.blake2b(header + row.tobytes(), digest_size=16).digest() for row in data)


def sample_digests(
    rows: np.ndarray[Any, Any],
    context: Mapping[str, np.ndarray[Any, Any]],
    sizes: np.ndarray[Any, Any] | None = None,
    widths: np.ndarray[Any, Any] | None = None,
) -> tuple[bytes, ...]:
    """Identity of samples (N, ...): of what exists of their rows, and of their context, name by name.

    Without a context and without ``sizes`` it is `row_digests`. With ``sizes`` (N,) only so many entries along
    the first axis of a row count, so that a sample is the same alone and padded to the length of others; with
    ``widths`` (N,) only so many along the second one.
    """
    if sizes is None:
        found = row_digests(rows)
    elif widths is not None:
        cut = (row[:n, :w] for row, n, w in zip(rows, sizes.tolist(), widths.tolist(), strict=True))
        found = tuple(row_digests(np.ascontiguousarray(row)[None])[0] for row in cut)
    else:
        found = tuple(row_digests(row[None, :n])[0] for row, n in zip(rows, sizes.tolist(), strict=True))
    for name, values in sorted(context.items()):
        more = row_digests(values)
        joined = (
            hashlib.blake2b(a + name.encode() + b"\0" + b, digest_size=16) for a, b in zip(found, more, strict=True)
        )
        found = tuple(h.digest() for h in joined)
    return found


def sample_ids(digests: Iterable[bytes]) -> list[str]:
    """Short printable names of samples, from their digests."""
    return [d.hex()[:16] for d in digests]


def unit_ids(n: int) -> list[str]:
    """Names of the resampling units of a data set score: equal for all explainers, so that they pair up."""
    return [f"repeat {i}" for i in range(n)]


def seed(*names: Any) -> int:
    """Derive a 63-bit seed from names, e.g. ``seed("explain", problem, explainer, repeat)``.

    Seeds depend on names only, never on the order in which work is done.
    """
    raw = hashlib.blake2b(canonical_json(list(names)).encode(), digest_size=8).digest()
    return int.from_bytes(raw, "little") >> 1
