"""Parameters that name a registered model."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from xaibench.core import registry
from xaibench.core.errors import UsageError


def known_model(name: str | None) -> str | None:
    """The name of a registered model, checked; None stays None.

    Raises
    ------
    ValueError
        If no model is called so.
    """
    if name is not None:
        try:
            registry.get("model", name)
        except UsageError as error:
            raise ValueError(f"{error.message}; {error.hint}") from error
    return name


Recipe = Annotated[str | None, AfterValidator(known_model)]
"""A registered model; None: the problem's own."""
