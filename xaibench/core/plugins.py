"""Code of users: Python files and modules are imported once, and never because a store names them."""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import importlib.util
import keyword
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from xaibench.core.errors import UsageError, XaibenchError
from xaibench.core.keys import digest
from xaibench.core.source_files import PACKAGE_NAME, SOURCE, files_digest, find_beside, imported_files
from xaibench.core.storage.paths import local_path
from xaibench.core.user_errors import described

PREFIX = "xaibench_plugin"
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


def check_open(source: str) -> None:
    """Raise UsageError inside of `no_new_code`: what a store names is neither imported nor opened."""
    if _closed.get():
        raise UsageError(f"the store names code in {source}, which is not loaded for that", "load it with --plugin")


@dataclass
class _Loaded:
    """A file of a user as it was executed."""

    module: ModuleType
    digest: str
    files: dict[str, Path]


@dataclass
class _Folders:
    """Folders whose modules the files in them can import, and no other code.

    The modules are submodules of a package of a name of its own, whose search path the folders are.
    """

    name: str
    places: tuple[Path, ...]
    loaded: dict[Path, _Loaded] = field(default_factory=dict)


_folders: dict[tuple[Path, ...], _Folders] = {}
_by_name: dict[str, _Folders] = {}
_references: dict[tuple[str, Path | None, Path], ModuleType] = {}


def load_module(source: str, *, folder: Path | None = None, check: bool = True) -> ModuleType:
    """Import a Python file by path, or a module: one beside the suite first, else an installed one.

    A file is imported once, and again when it, or a module that it imports from its folder or that
    of the suite, has changed since. Its folder and that of the suite can be imported from by it, and
    by no other file.

    Parameters
    ----------
    source : str
        ``path/to/file.py`` or ``package.module``; ``~`` is the home folder.
    folder : Path, optional
        Folder of the suite file, which relative paths start from; default the current one.
    check : bool
        Look whether the file has changed. False where this has been done already.

    Raises
    ------
    UsageError
        If there is no such file, or it cannot be imported: with the line that failed.
    """
    source = str(local_path(source)) if source.startswith("~") else source
    key = (source, folder, Path.cwd())
    if not check and key in _references:
        return _references[key]
    if _closed.get() and not source.endswith(".py") and source in sys.modules:
        return sys.modules[source]
    path = _find(source, folder)
    if path is None:
        check_open(source)
        return _installed(source)
    places = dict.fromkeys((path.parent, (folder or Path.cwd()).resolve()))
    module = _references[key] = _load(path, tuple(places), source)
    return module


def _find(source: str, folder: Path | None) -> Path | None:
    """The file that a source names, None for a module that is not beside the suite."""
    bases = [base for base in (folder, Path.cwd()) if base is not None]
    file = source if source.endswith(".py") else f"{source.replace('.', '/')}.py"
    path = next((p.resolve() for p in (base / file for base in bases) if p.is_file()), None)
    if path is None and any((base / source).is_dir() and not _is_package(base / source) for base in bases):
        raise UsageError(f"{source} is a folder, not a Python file", "name a file in it: folder/file.py")
    if path is None and source.endswith(".py"):
        raise UsageError(f"there is no file {source}", "paths start from the suite file's folder or the current one")
    return path


def _is_package(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


def _installed(source: str) -> ModuleType:
    """Import a module that is on Python's path."""
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and (source == error.name or source.startswith(f"{error.name}.")):
            raise UsageError(f"there is no module {source!r}", "for a file, write path/to/file.py:name") from error
        raise UsageError(f"{source} cannot be imported: {described(error)}", _MISSING) from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"there is no module {source!r}", "for a file, write path/to/file.py:name") from error
    except XaibenchError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{source} cannot be imported: {described(error)}") from error


_MISSING = (
    "a file imports modules beside it, modules beside the suite, and installed packages; "
    "install what is missing, or put it there"
)


def _load(path: Path, places: tuple[Path, ...], source: str) -> ModuleType:
    """The module of a file, imported again if anything that it rests on has changed."""
    here = _folders.get(places)
    known = None if here is None else here.loaded.get(path)
    if known is not None and (_closed.get() or known.module.__name__ not in sys.modules):
        known = known if known.module.__name__ in sys.modules else None
    if known is not None and _closed.get():
        return known.module
    if known is not None and files_digest(imported_files(path, places)) == known.digest:
        return known.module
    check_open(source)
    if here is None:
        here = _folders[places] = _Folders(f"{PREFIX}_{digest([str(p) for p in places], size=6)}", places)
        _by_name[here.name] = here
        package = ModuleType(here.name)
        package.__path__ = [str(p) for p in places]
        sys.modules[here.name] = package
    if known is not None:
        _forget(here, known)
    name = f"{here.name}.{_module_name(path)}"
    try:
        module = _finder.module_of(name, path)
    except XaibenchError:
        raise
    except ModuleNotFoundError as error:
        raise UsageError(f"{path} cannot be imported: {described(error)}", _MISSING) from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"{path} cannot be imported: {described(error)}") from error
    files = imported_files(path, places)
    here.loaded[path] = _Loaded(module, str(vars(module)[SOURCE]), files)
    return module


def _forget(here: _Folders, known: _Loaded) -> None:
    """Remove a file and what it imports from the imported modules, so that all of it is executed again."""
    files = set(known.files.values())
    for name, module in list(sys.modules.items()):
        own = name.startswith(f"{here.name}.")
        file = getattr(module, "__file__", None)
        if own or (
            file is not None and name.partition(".")[0] not in (PACKAGE_NAME, "__main__") and Path(file) in files
        ):
            del sys.modules[name]
    here.loaded.clear()


def _module_name(path: Path) -> str:
    """The name that a file would be imported by; one of its own where the file's name is not a name of Python."""
    if path.stem.isidentifier() and not keyword.iskeyword(path.stem):
        return path.stem
    return f"file_{digest(path.stem, size=6)}"


class _Loader(importlib.machinery.SourceFileLoader):
    """Executes a file whose import statements look into its folders first."""

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file as it is: compiled files differ by whole seconds only and may be older."""
        return self.source_to_code(self.get_data(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        here = _by_name[module.__name__.partition(".")[0]]
        path = Path(self.path).resolve()
        space: dict[str, Any] = vars(module)
        space["__builtins__"] = {**vars(builtins), "__import__": _import_from(here)}
        space[SOURCE] = files_digest(imported_files(path, here.places))
        super().exec_module(module)


class _Finder:
    """Finds the modules of the folders of users, for import statements inside of them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in _by_name or path is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec

    def module_of(self, name: str, path: Path) -> ModuleType:
        """Import a file under a name, once."""
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module


_finder = _Finder()
sys.meta_path.insert(0, _finder)


def _import_from(here: _Folders) -> Callable[..., Any]:
    """``__import__`` of the files in these folders."""

    def import_beside(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = name.partition(".")[0]
        if level or top == PACKAGE_NAME or find_beside(top, here.places) is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if fromlist:
            return builtins.__import__(f"{here.name}.{name}", globals, locals, fromlist, 0)
        importlib.import_module(f"{here.name}.{name}")
        return sys.modules[f"{here.name}.{top}"]

    return import_beside
