"""Code of users: Python files and modules are imported once, and never because a store names them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from xaibench.core.errors import UsageError, XaibenchError
from xaibench.core.keys import digest

_closed: ContextVar[bool] = ContextVar("closed", default=False)


@contextmanager
def no_new_code() -> Iterator[None]:
    """Inside, no file or module is imported that is not imported already.

    For suites that a store names: a store may come from anywhere, and reading it runs nothing.
    """
    token = _closed.set(True)
    try:
        yield
    finally:
        _closed.reset(token)


def _check_open(source: str) -> None:
    if _closed.get():
        raise UsageError(f"the store names code in {source}, which is not loaded for that", "load it with --plugin")


def load_module(source: str, *, folder: Path | None = None) -> ModuleType:
    """Import a Python file by path (once per file), or a module: one beside the suite first, else an installed one."""
    if _closed.get() and not source.endswith(".py") and source in sys.modules:
        return sys.modules[source]
    file = source if source.endswith(".py") else f"{source.replace('.', '/')}.py"
    candidates = [base / file for base in (folder, Path.cwd()) if base is not None]
    path = next((p.resolve() for p in candidates if p.is_file()), None)
    if path is None and not source.endswith(".py"):
        _check_open(source)
        try:
            return importlib.import_module(source)
        except ModuleNotFoundError as error:
            raise UsageError(f"there is no module {source!r}", "for a file, write path/to/file.py:name") from error
    if path is None:
        raise UsageError(f"there is no file {source}", "paths start from the suite file's folder or the current one")
    name = f"xaibench_plugin_{path.stem}_{digest(str(path), size=6)}"
    if name in sys.modules:
        return sys.modules[name]
    _check_open(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except XaibenchError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
