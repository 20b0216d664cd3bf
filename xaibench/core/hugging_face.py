"""Models and tokenizers of the library transformers from a folder; the only place that imports it, where it is used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from xaibench.core.errors import UsageError
from xaibench.core.extras import install_command


def from_folder(kind: str, folder: str) -> Any:
    """What an auto class of transformers makes of a folder, such as ``"AutoTokenizer"``; nothing is downloaded.

    Raises
    ------
    UsageError
        If the library is missing, or the folder does not hold this.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"there is no folder {folder!r}", "give the folder that save_pretrained has written")
    try:
        import transformers
    except ImportError as error:
        raise UsageError("models of transformers need the library", install_command("text")) from error
    try:
        return getattr(transformers, kind).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # Whatever the library raises.
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"{folder!r} does not hold what {kind} of transformers reads: {reason}",
            "write model and tokenizer into it by save_pretrained",
        ) from error


def folder_digest(folder: str) -> str:
    """Digest of all files of a folder, by name and content."""
    whole = hashlib.blake2b(digest_size=16)
    for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        whole.update(f"{file.relative_to(folder).as_posix()}\0".encode())
        with file.open("rb") as content:
            whole.update(hashlib.file_digest(content, "blake2b").digest())
    return whole.hexdigest()
