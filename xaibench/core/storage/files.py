"""Atomic writes of files and of safetensors, with digests that show damage."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from xaibench.core.errors import StoreError
from xaibench.core.keys import array_digest, digest
from xaibench.core.storage.processes import this_process

if TYPE_CHECKING:
    from torch import Tensor

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


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
        Publish by hard link, so that an existing file is never replaced. Where the file system has
        no links, the name is claimed by an empty file first.

    Returns
    -------
    bool
        False if ``exclusive`` and the file existed already.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    draft: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name says which process writes, so that drafts of dead processes can be told from others.
        handle, name = tempfile.mkstemp(prefix=f".{this_process()}-", suffix=".draft", dir=path.parent)
        os.close(handle)
        draft = Path(name)
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.chmod(0o644)
        if exclusive:
            try:
                _publish_new(draft, path)
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


def _publish_new(draft: Path, path: Path) -> None:
    """Give the draft its name, or raise FileExistsError."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        draft.replace(path)


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
    write_bytes(path, tensors_to_bytes(tensors, metadata))


def tensors_to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Tensors as a safetensors document, with a digest of tensors and metadata."""
    from safetensors.torch import save

    whole = {k: t.detach().cpu().contiguous() for k, t in tensors.items()}
    said = dict(metadata or {})
    return bytes(save(whole, metadata={**said, "digest": f"all:{digest(_content_digest(whole), said)}"}))


def load_tensors(path: Path) -> dict[str, Tensor] | None:
    """Load safetensors; None if the file is missing or damaged, so that the caller makes it again."""
    found = load_tensors_and_metadata(path)
    return None if found is None else found[0]


def load_tensors_and_metadata(path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Like `load_tensors`, with the metadata given to `save_tensors`."""
    try:
        return tensors_from_bytes(path.read_bytes())
    except FileNotFoundError:
        return None


def tensors_from_bytes(raw: bytes) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and metadata of `tensors_to_bytes`; None if the content is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors: dict[str, Tensor] = load(raw)
        header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
        metadata = {str(k): str(v) for k, v in header.get("__metadata__", {}).items()}
    except (SafetensorError, ValueError, KeyError):
        return None
    found, content = metadata.pop("digest", None), _content_digest(tensors)
    # Files from before the digest was of the metadata too are still good.
    return (tensors, metadata) if found in (f"all:{digest(content, metadata)}", content) else None


def tensor_digest(tensor: Tensor) -> str:
    """Hex digest of a tensor: type, shape and bytes; of bfloat16, which numpy does not know, its bits."""
    import torch

    plain = tensor.detach().cpu()
    return array_digest((plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain).numpy())


def _content_digest(tensors: Mapping[str, Tensor]) -> str:
    return digest({k: tensor_digest(tensors[k]) for k in sorted(tensors)})
