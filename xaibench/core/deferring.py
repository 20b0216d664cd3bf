"""Whether built-in components are imported when they are called instead of when they are looked up."""

from __future__ import annotations

from contextvars import ContextVar

deferring: ContextVar[bool] = ContextVar("deferring", default=False)
"""Set by the command line: the registry then answers from the index of declarations, see `declaration_index`."""
