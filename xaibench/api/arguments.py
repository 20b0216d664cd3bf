"""Arguments of public functions, checked: names, choices, numbers, and what fails in a caller's own code."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from xaibench.core import registry
from xaibench.core.components import Component, Kind
from xaibench.core.errors import UsageError, XaibenchError, did_you_mean, message_of


def find_component(kind: Kind, name: Any) -> Component:
    """The registered component of this name.

    Raises
    ------
    UsageError
        If it is not a name, or there is none of this name.
    """
    if not isinstance(name, str):
        several = isinstance(name, (list, tuple, set, dict))
        raise UsageError(
            f"the name of a{'n' if kind == 'explainer' else ''} {kind} is a text, not a {type(name).__name__}",
            "one at a time; Problem.evaluate takes several" if several else f'xb.components("{kind}") lists them',
        )
    return registry.get(kind, name)


def require_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise UsageError if an argument is neither None nor one of the known texts."""
    options = tuple(known)
    if value is None or (isinstance(value, str) and value in options):
        return
    hint = did_you_mean(value, options) if isinstance(value, str) else f"known: {', '.join(options)}"
    raise UsageError(f"unknown {name} {value!r}", hint)


def require_whole(name: str, value: Any, *, at_least: int | None = None) -> int:
    """The whole number, or UsageError if it is none, or too small."""
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not whole or (at_least is not None and int(value) < at_least):
        wanted = "a whole number" if at_least is None else f"a whole number of at least {at_least}"
        raise UsageError(f"{name}={value!r} is not {wanted}")
    return int(value)


@contextmanager
def failures_as_usage_errors(what: str, hint: str | None = None) -> Iterator[None]:
    """Say in a sentence what failed in a model, a function or a component; the traceback stays as the cause.

    Running out of memory and interrupts are left alone.

    Raises
    ------
    UsageError
        Instead of any other exception.
    """
    try:
        yield
    except (XaibenchError, MemoryError, torch.cuda.OutOfMemoryError, Warning):
        raise
    except Exception as error:
        first = textwrap.shorten((message_of(error).strip().splitlines() or [""])[0], 160, placeholder=" ...")
        raise UsageError(f"{what}: {type(error).__name__}{f': {first}' if first else ''}", hint) from error
