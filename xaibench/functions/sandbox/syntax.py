"""The syntax that an untrusted program may use: what is not on the lists here is refused before anything runs.

The first of the layers in `sandbox`, and the only one that can say in a sentence what is wrong. It
refuses and never rewrites. RestrictedPython, the maintained library for this, compiles to guarded
calls, and the guards would be ours to write; it bounds no literals, and would have to be imported
inside of the isolated process. Standard library only, for the same reason.
"""

from __future__ import annotations

import ast
import math
import re
import string
from types import SimpleNamespace

MAX_SOURCE = 50_000
MAX_NODES = 20_000
MAX_LITERAL_CHARACTERS = 10_000
MAX_BITS = 128

_OF_RE = (
    "compile match fullmatch search sub subn split findall finditer escape "
    "A ASCII I IGNORECASE M MULTILINE S DOTALL X VERBOSE"
)
MODULES = {
    "math": SimpleNamespace(**{k: v for k, v in vars(math).items() if not k.startswith("_")}),
    "re": SimpleNamespace(**{k: getattr(re, k) for k in _OF_RE.split()}),
    "string": SimpleNamespace(
        **{k: v for k, v in vars(string).items() if isinstance(v, str) and not k.startswith("_")},
        capwords=string.capwords,
    ),
}
"""What can be imported: copies with the public functions only, since modules hold other modules."""

_NAMES = (
    "abs all any bin bool chr dict divmod enumerate filter float format frozenset hex int isinstance iter len list "
    "map max min next oct ord pow range repr reversed round set slice sorted str sum tuple zip "
    "ArithmeticError AssertionError AttributeError Exception IndexError KeyError LookupError NameError "
    "OverflowError RecursionError RuntimeError StopIteration TypeError ValueError ZeroDivisionError"
)
BUILTINS = frozenset(_NAMES.split())
"""Names that a program finds. ``str.format`` is left out below: it reaches attributes through its text."""

_TYPES = (str, bytes, list, tuple, dict, set, frozenset, int, float, complex, range, re.Pattern, re.Match)
ATTRIBUTES = frozenset(
    name for thing in (*_TYPES, *MODULES.values()) for name in dir(thing) if not name.startswith("_")
) - {"format", "format_map"}

_NODES: tuple[type[ast.AST], ...] = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign,
    ast.Delete, ast.For, ast.While, ast.If, ast.Raise, ast.Try, ast.ExceptHandler, ast.Assert, ast.Import,
    ast.ImportFrom, ast.alias, ast.Global, ast.Nonlocal, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.BoolOp,
    ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set, ast.ListComp, ast.SetComp,
    ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Compare, ast.Call, ast.keyword, ast.FormattedValue,
    ast.JoinedStr, ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.Slice,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context, ast.Match, ast.match_case, ast.MatchValue,
    ast.MatchSingleton, ast.MatchSequence, ast.MatchStar, ast.MatchAs, ast.MatchOr,
)  # fmt: skip
"""Not among them: classes (and patterns of classes, which read attributes), ``with``, ``yield``, ``await``."""

_SAID = {"ClassDef": "a class", "With": "`with`", "MatchClass": "a class pattern", "Yield": "`yield`"}


class RefusedError(Exception):
    """The program uses what it may not; the message is one sentence."""


def parse_program(source: str) -> ast.Module:
    """The checked syntax tree of a program.

    Raises
    ------
    RefusedError
        If it is no Python, too large, or uses anything that is not allowed.
    """
    if len(source) > MAX_SOURCE:
        raise RefusedError(f"it has {len(source)} characters, more than {MAX_SOURCE}")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise RefusedError(f"line {error.lineno}: it is no Python ({error.msg})") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise RefusedError(f"it cannot be parsed ({error or 'nested too deeply'})") from None
    for count, node in enumerate(ast.walk(tree)):
        why = _objection(node)
        if why is None and count >= MAX_NODES:
            why = f"it has more than {MAX_NODES} parts"
        if why is not None:
            line = getattr(node, "lineno", None)
            raise RefusedError(why if line is None else f"line {line}: {why}")
    return tree


def literal_size(tree: ast.Module) -> int:
    """Numbers and texts that a program holds."""
    held = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return sum(isinstance(v, (int, float, complex, str)) and not isinstance(v, bool) for v in held)


def _objection(node: ast.AST) -> str | None:
    name = type(node).__name__
    if not isinstance(node, _NODES):
        return f"{_SAID.get(name, name)} is not allowed"
    if isinstance(node, ast.Constant):
        return _literal(node.value)
    if isinstance(node, ast.Attribute):
        if node.attr not in ATTRIBUTES:
            return f"the attribute {node.attr!r} is not allowed"
        return None if isinstance(node.ctx, ast.Load) else "setting attributes is not allowed"
    if isinstance(node, ast.Import):
        unknown = [a.name for a in node.names if a.name not in MODULES]
        return f"importing {unknown[0]!r} is not allowed; there are math, re and string" if unknown else None
    if isinstance(node, ast.ImportFrom):
        if node.level or node.module not in MODULES:
            return f"importing {node.module!r} is not allowed; there are math, re and string"
        unknown = [a.name for a in node.names if not hasattr(MODULES[node.module], a.name)]
        return f"{node.module} has no {unknown[0]!r} here" if unknown else None
    return next((f"the name {n!r} is not allowed" for n in _identifiers(node) if n.startswith("__")), None)


def _identifiers(node: ast.AST) -> list[str]:
    """Every name that a node brings, whichever field it is in."""
    fields = [value for _, value in ast.iter_fields(node)]
    listed = [x for value in fields if isinstance(value, list) for x in value]
    return [x for x in fields + listed if isinstance(x, str)]


def _literal(value: object) -> str | None:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return f"a whole number of {value.bit_length()} bits is too large"
    if isinstance(value, (str, bytes)) and len(value) > MAX_LITERAL_CHARACTERS:
        return f"a text of {len(value)} characters is too long"
    return None
