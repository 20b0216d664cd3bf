"""Data sets and recipes that are objects of this Python session: no file names them, and no other process has them."""

from __future__ import annotations

from xaibench.core.components import Component, Kind
from xaibench.core.errors import UsageError

OBJECT_PREFIX = "object:"
_known: dict[tuple[Kind, str], Component] = {}


def object_reference(component: Component, content: str) -> str:
    """How suites of this session refer to an object: ``object:NAME-DIGEST``.

    Parameters
    ----------
    component : Component
    content : str
        Digest of the object: what has another one is another object.
    """
    ref = f"{OBJECT_PREFIX}{component.name}-{content[:8]}"
    _known[component.kind, ref] = component
    return ref


def is_object_reference(ref: str) -> bool:
    """Whether a reference is one of an object."""
    return ref.startswith(OBJECT_PREFIX)


def component_of_object(kind: Kind, ref: str) -> Component:
    """The component that an object of this session is.

    Raises
    ------
    UsageError
        If it belongs to another session, or to another process.
    """
    found = _known.get((kind, ref))
    if found is None:
        raise UsageError(
            f"{ref} was an object of a Python session, which has ended or is another process",
            "call the same function with the same object again, or write it into a file: file.py:name",
        )
    return found
