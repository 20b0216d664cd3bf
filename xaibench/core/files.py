"""Files that appear whole or not at all, and where the project keeps them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from xaibench.core.errors import StoreError
from xaibench.core.keys import array_digest, digest


def fsync_folder(folder: Path) -> None:
    """Make a rename or link in ``folder`` survive a power cut (where the platform allows it)."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, write: Callable[[Path], None], *, exclusive: bool = False) -> bool:
    """Write a file through a dot-file in the same folder: readers see all of it or nothing.

    Parameters
    ----------
    path : Path
    write : callable
        Writes the content to the path it is given.
    exclusive : bool
        Publish by hard link, so that an existing file is never replaced.

    Returns
    -------
    bool
        False if ``exclusive`` and the file was there already.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    draft: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".draft", dir=path.parent)
        os.close(handle)
        draft = Path(name)
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.chmod(0o644)
        if exclusive:
            try:
                os.link(draft, path)
            except FileExistsError:
                return False
        else:
            draft.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}", "check the disk and the folder's permissions"
        ) from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)
    return True


def write_bytes(path: Path, content: bytes, *, exclusive: bool = False) -> bool:
    """`write_atomic` for bytes."""

    def write(draft: Path) -> None:
        draft.write_bytes(content)

    return write_atomic(path, write, exclusive=exclusive)


def write_json(path: Path, value: object, *, exclusive: bool = False) -> bool:
    """`write_atomic` for a JSON document."""
    text = json.dumps(value, indent=2, sort_keys=True)
    return write_bytes(path, text.encode(), exclusive=exclusive)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Save tensors as safetensors, atomically, with a digest of their content."""
    from safetensors.torch import save

    whole = {k: t.detach().cpu().contiguous() for k, t in tensors.items()}
    write_bytes(path, save(whole, metadata={**(metadata or {}), "digest": _content_digest(whole)}))


def load_tensors(path: Path) -> dict[str, Tensor] | None:
    """Load safetensors; None if the file is missing or damaged, so that the caller makes it anew."""
    found = load_tensors_and_metadata(path)
    return None if found is None else found[0]


def load_tensors_and_metadata(path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Like `load_tensors`, with the metadata given to `save_tensors`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
    except (FileNotFoundError, SafetensorError):
        return None
    if metadata.pop("digest", None) != _content_digest(tensors):
        return None
    return tensors, metadata


def _content_digest(tensors: Mapping[str, Tensor]) -> str:
    return digest({k: array_digest(tensors[k].numpy()) for k in sorted(tensors)})
