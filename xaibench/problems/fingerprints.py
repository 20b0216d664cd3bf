"""Fingerprints of problems that were prepared before, so that a plan loads neither their data nor torch."""

from __future__ import annotations

import importlib.metadata
import json
from functools import cache
from pathlib import Path
from typing import Any

from xaibench.core.declaration_index import built_in
from xaibench.core.errors import StoreError
from xaibench.core.keys import KEY_VERSION, digest
from xaibench.core.sources import package_digest
from xaibench.core.storage.files import write_json
from xaibench.problems.specs import ProblemSpec
from xaibench.suite import ComponentRef

_LIBRARIES = ("torch", "scikit-learn", "scikit-image", "numpy", "scipy", "pandas")
"""What data sets are read and models fitted with."""


def remember(folder: Path, spec: ProblemSpec, fingerprint: str, model_file: Path) -> None:
    """Store the fingerprint of a prepared problem beside the state of what it rests on.

    Parameters
    ----------
    folder : Path
        The cache.
    spec : ProblemSpec
    fingerprint : str
    model_file : Path
        What is stored of the fitted model: as long as it stays the same, so does the fingerprint.
    """
    context = _context(spec)
    if context is None:
        return
    try:
        record = {"context": context, "fingerprint": fingerprint, "model": str(model_file), **_state(model_file)}
        write_json(_path(folder, spec), record)
    except (OSError, StoreError):
        return


def recall(folder: Path, spec: ProblemSpec) -> str | None:
    """The fingerprint of a problem, None if it is not known for sure.

    It is known for components of this package with the same source code, libraries, names, parameters and versions,
    while the stored model has not changed. Data and models of other code may be anything, and are loaded.
    """
    context = _context(spec)
    if context is None:
        return None
    try:
        record = json.loads(_path(folder, spec).read_bytes())
        same = record["context"] == context and _state(Path(record["model"])) == {
            name: record[name] for name in ("size", "changed")
        }
        return str(record["fingerprint"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_absent(folder: Path, spec: ProblemSpec) -> None:
    """Store that the cache has no model for a problem, valid until a model is added to it."""
    context = _context(spec)
    try:
        if context is not None:
            write_json(_path(folder, spec), {"context": context, "absent": _state(folder / "models")["changed"]})
    except (OSError, StoreError):
        return


def is_absent(folder: Path, spec: ProblemSpec) -> bool:
    """Whether it is known for sure that the cache has no model for a problem."""
    context = _context(spec)
    try:
        record = json.loads(_path(folder, spec).read_bytes())
        changed = _state(folder / "models")["changed"]
        return context is not None and record["context"] == context and record["absent"] == changed
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _path(folder: Path, spec: ProblemSpec) -> Path:
    return folder / "fingerprints" / f"{spec.key}.json"


def _state(file: Path) -> dict[str, int]:
    found = file.stat()
    return {"size": found.st_size, "changed": found.st_mtime_ns}


def _context(spec: ProblemSpec) -> str | None:
    """All that a fingerprint depends on, None where that cannot be said without loading the problem."""
    code = package_digest()
    if code is None or not (_is_fixed(spec.dataset) and _is_fixed(spec.model)):
        return None
    return digest(KEY_VERSION, code, _versions(), spec.identity, spec.versions)


def _is_fixed(choice: ComponentRef) -> bool:
    """Whether a component is of this package and reads no file that its parameters name.

    What is given the folder of the suite may read any file of it.
    """
    if not (choice.spec.registered and built_in(choice.spec)) or choice.spec.takes("suite_folder"):
        return False
    texts = [value for value in choice.params.values() if isinstance(value, str)]
    folders = [Path(), *([] if choice.folder is None else [choice.folder])]
    return not any(_exists(folder / text) for folder in folders for text in texts if text)


def _exists(path: Path) -> bool:
    try:
        return path.expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return True


@cache
def _versions() -> list[Any]:
    return [importlib.metadata.version(name) for name in _LIBRARIES]
