"""Source files that a component rests on: its own file and the modules that it imports, installed packages excepted."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from xaibench.core.keys import digest

PACKAGE_NAME = "xaibench"
SOURCE = "__xaibench_source__"
"""Name under which a module that was loaded from a user's file holds the digest of what was executed."""


def find_beside(name: str, folders: Sequence[Path]) -> Path | None:
    """The folder in which a top-level module or package of this name lies, or None."""
    for folder in folders:
        if (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file():
            return folder
        if (folder / name).is_dir() and any((folder / name).glob("*.py")):
            return folder
    return None


def imported_files(path: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """A Python file and all modules that it imports, directly or through others, from outside installed packages.

    Parameters
    ----------
    path : Path
    folders : sequence of Path
        Where its absolute imports are looked for first: its own folder, and that of the suite.

    Returns
    -------
    dict of str to Path
        Files by the name that they are imported under; the file itself under ``""``. Modules of the
        standard library, of installed distributions and of xaibench are left out. An editable
        installation is not left out. Names that are made while the code runs are not seen.
    """
    found: dict[str, Path] = {"": path}
    queue = [("", path)]
    while queue:
        name, file = queue.pop()
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        for wanted in _imported_names(_text(file), package):
            top = wanted.partition(".")[0]
            if top == PACKAGE_NAME:
                continue
            beside = find_beside(top, folders)
            root = _elsewhere(top) if beside is None else beside
            for module, source in () if root is None else _along(wanted, root):
                if module not in found and source != path:
                    found[module] = source
                    queue.append((module, source))
    return found


def files_digest(files: dict[str, Path]) -> str:
    """Digest of names and contents, wherever the files lie."""
    return digest({name: _text(file) for name, file in files.items()})


def source_of(function: Any) -> str | None:
    """Digest of the code behind a function of a user, None for one of xaibench itself.

    What was loaded from a file has the digest of what was executed then. Of a module on the import
    path it is that of its files, see `imported_files`; of a notebook or a terminal, where there is
    no file, that of the function and of the functions and classes of the same module that it names.
    """
    while isinstance(function, functools.partial):
        function = function.func
    module = str(getattr(function, "__module__", ""))
    if module.partition(".")[0] == PACKAGE_NAME:
        return None
    known = _globals(function).get(SOURCE)
    if isinstance(known, str):
        return known
    file = _globals(function).get("__file__")
    if isinstance(file, str) and file.endswith(".py") and Path(file).is_file():
        depth = module.count(".") + (1 if Path(file).name == "__init__.py" else 0)
        path = Path(file).resolve()
        return files_digest(imported_files(path, [path.parents[min(depth, len(path.parents) - 1)]]))
    return digest(*_definitions(function, set()))


def source_file(function: Any) -> str | None:
    """The file that defines a component's function, None where there is none."""
    stated: str | None = getattr(function, "source_file", None)
    return stated or inspect.getsourcefile(function)


def defined_in(function: Any) -> tuple[str, str]:
    """File (of what has none, the module) and name of a function."""
    return source_file(function) or function.__module__, function.__qualname__


def is_replaced(function: Any) -> bool:
    """Whether a function belongs to a notebook or terminal, or to a module that has been imported again since."""
    if getattr(function, "source_file", None) is not None:
        return False  # It is of this package, and not imported yet.
    module = sys.modules.get(function.__module__)
    space = getattr(inspect.unwrap(function), "__globals__", None)
    return function.__module__ == "__main__" or module is None or vars(module) is not space


def _globals(function: Any) -> dict[str, Any]:
    module = sys.modules.get(str(getattr(function, "__module__", "")))
    found = getattr(function, "__globals__", None)
    inside = found if isinstance(found, dict) else {}
    return vars(module) if SOURCE not in inside and isinstance(module, ModuleType) else inside


def _definitions(thing: Any, seen: set[int]) -> Iterator[Any]:
    """What a function or class without a file is made of, as plain values."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, type):
        yield thing.__qualname__
        for name, value in sorted(vars(thing).items()):
            if isinstance(value, (FunctionType, staticmethod, classmethod, property)):
                inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                yield name
                yield from _definitions(inner, seen)
        return
    function = getattr(thing, "__wrapped__", thing)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        yield repr(type(thing))
        return
    yield from (repr(getattr(function, "__defaults__", None)), repr(getattr(function, "__kwdefaults__", None)))
    yield from _code(code)
    for name in sorted(_named(code)):
        value = function.__globals__.get(name)
        if isinstance(value, (bool, int, float, str)):
            yield [name, value]
        elif isinstance(value, (FunctionType, type)) and value.__module__ == function.__module__:
            yield name
            yield from _definitions(value, seen)


def _code(code: CodeType) -> Iterator[Any]:
    yield code.co_code.hex()
    yield list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:
            yield repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant)


def _named(code: CodeType) -> set[str]:
    inner = (_named(c) for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*inner)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="surrogateescape").encode("utf-8", "replace").decode("utf-8")


@functools.lru_cache(maxsize=256)
def _imported_names(text: str, package: str) -> tuple[str, ...]:
    """Dotted names that a module imports, at the top or inside functions; nothing where it is not valid Python."""
    try:
        return tuple(dict.fromkeys(_imports_in(ast.parse(text), package)))
    except (SyntaxError, ValueError):
        return ()


def _imports_in(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names if alias.name != "*")


def _along(name: str, root: Path) -> Iterator[tuple[str, Path]]:
    """The files of ``a``, ``a.b`` and ``a.b.c`` for the name ``a.b.c``, as far as they are modules."""
    folder, parts = root, name.split(".")
    for i, part in enumerate(parts):
        module = ".".join(parts[: i + 1])
        for file in (folder / part / "__init__.py", folder / f"{part}.py"):
            if file.is_file():
                yield module, file.resolve()
                break
        folder = folder / part


@functools.lru_cache(maxsize=1024)
def _elsewhere(top: str) -> Path | None:
    """The folder of a module on the import path that belongs to no installed distribution, else None."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    origin = Path(places[0]) if places else Path(spec.origin) if spec.has_location and spec.origin else None
    if origin is None or is_installed(origin):
        return None
    return origin.resolve().parent


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(Path(p).resolve() for p in paths)


def is_installed(path: Path) -> bool:
    """Whether a file belongs to the standard library or to an installed distribution that is not editable."""
    where = path.resolve()
    if {"site-packages", "dist-packages"} & set(where.parts):
        return True
    return any(where.is_relative_to(folder) for folder in _installed_folders())
