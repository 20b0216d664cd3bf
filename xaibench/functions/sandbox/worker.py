"""The process that untrusted programs run in: confines itself, then answers requests. Standard library only.

Started by `program` as a script, with the limits as its only argument. Requests and replies are
lines of JSON over standard input and output.
"""

from __future__ import annotations

import builtins
import importlib.util
import json
import math
import os
import sys
import unicodedata  # noqa: F401  what the compiler needs for names of characters must be there before
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_OUTPUT = 10_000
"""Characters of an output; longer ones are missing."""
MAX_REASON = 300


def _beside(name: str) -> Any:
    """Load a module that lies beside this file: the package itself is unavailable in here."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Confine this process and serve until standard input ends."""
    options = json.loads(sys.argv[1])
    syntax, confinement = _beside("syntax"), _beside("confinement")
    without = frozenset(options["without"])
    try:
        confinement.confine(memory=options["memory"], cpu=options["cpu"], without=without)
    except OSError as error:
        _send({"refused": str(error)})
        return
    _send({"ready": True})
    buffer = b""
    while True:
        while b"\n" not in buffer:
            more = os.read(0, 1 << 16)
            if not more:
                os._exit(0)
            buffer += more
        line, _, buffer = buffer.partition(b"\n")
        request = json.loads(line)
        _send({"id": request["id"], **_answer(request, syntax, without)})


def _send(reply: dict[str, Any]) -> None:
    data = memoryview(json.dumps(reply).encode() + b"\n")
    while data:
        data = data[os.write(1, data) :]


def _answer(request: dict[str, Any], syntax: Any, without: frozenset[str]) -> dict[str, Any]:
    """Check, run and collect; nothing that a program raises leaves this."""
    source: str = request["source"]
    size = 0
    try:
        if "syntax" in without:
            code = compile(source, "<program>", "exec")
        else:
            tree = syntax.parse_program(source)
            size = syntax.literal_size(tree)
            code = compile(tree, "<program>", "exec")
    except syntax.RefusedError as error:
        return {"refused": _short(str(error))}
    except BaseException as error:
        return {"refused": _short(f"it cannot be compiled ({type(error).__name__})")}
    namespace: dict[str, Any] = {"__name__": "program", "__builtins__": _names(syntax, without)}
    try:
        exec(code, namespace)
        f = namespace.get("f")
    except BaseException as error:
        return {"error": _reason(error)}
    if not callable(f):
        return {"refused": "it defines no function f"}
    try:
        outputs, error_text = _outputs(f, request["inputs"], request["numeric"])
    except BaseException as error:
        return {"error": _reason(error)}
    return {"outputs": outputs, "error": error_text, "size": size}


def _names(syntax: Any, without: frozenset[str]) -> Any:
    """Builtins of a program, fresh ones for every call."""
    if "builtins" in without:
        return builtins

    def load(name: str, _globals: Any = None, _locals: Any = None, wanted: Any = (), level: int = 0) -> Any:
        if level or name not in syntax.MODULES:
            raise ImportError(f"there is no module {name!r} here")
        return syntax.MODULES[name]

    return {**{name: getattr(builtins, name) for name in syntax.BUILTINS}, "__import__": load}


def _outputs(f: Callable[[Any], Any], inputs: list[Any], numeric: bool) -> tuple[list[Any], str]:
    """Outputs, None where there is none, and the first reason for that.

    A program takes one input. One that fails on the first input, or gives a list for it, is tried
    with the list of all.
    """
    found: list[Any] = []
    first = ""
    for k, x in enumerate(inputs):
        try:
            y = f(x)
            value = _usable(y, numeric)
            why = "" if value is not None else f"f({x!r:.40}) gave {_described(y)}"
        except BaseException as error:
            if isinstance(error, MemoryError):
                raise
            y, value, why = None, None, _reason(error)
        if k == 0 and value is None:
            whole = _all_at_once(f, inputs, numeric)
            if whole is not None:
                return whole, ""
        found.append(value)
        first = first or why
    return found, _short(first)


def _all_at_once(f: Callable[[Any], Any], inputs: list[Any], numeric: bool) -> list[Any] | None:
    try:
        y = f(list(inputs))
    except MemoryError:
        raise
    except BaseException:
        return None
    if not isinstance(y, (list, tuple)) or len(y) != len(inputs):
        return None
    values = [_usable(v, numeric) for v in y]
    return values if any(v is not None for v in values) else None


def _usable(value: Any, numeric: bool) -> float | str | None:
    """The output as JSON can hold it, None if it is none."""
    if not numeric:
        return str(value) if isinstance(value, str) and len(value) <= MAX_OUTPUT else None
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    return f"{value!r:.40}" if isinstance(value, (float, bool)) else type(value).__name__


def _reason(error: BaseException) -> str:
    """Kind, message and line of an exception, by what the program cannot have replaced."""
    if isinstance(error, MemoryError):
        return "MemoryError: it wants more memory than it may have"
    try:
        message = str(error)
    except BaseException:
        message = ""
    trace = error.__traceback__
    line = trace.tb_next.tb_lineno if trace is not None and trace.tb_next is not None else None
    where = "" if line is None else f" (line {line})"
    return _short(f"{type(error).__name__}{': ' if message else ''}{message[:MAX_REASON]}") + where


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]} ..."


if __name__ == "__main__":
    main()
