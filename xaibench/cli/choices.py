"""Words that are given to commands, and mistakes in them: one plain sentence each."""

from __future__ import annotations

from typing import Any

from typer import BadParameter
from typer.core import TyperCommand

from xaibench.core.errors import UsageError, did_you_mean

LISTED = ("datasets", "models", "explainers", "metrics", "maskers", "functions", "interpreters", "suites")


def listed(text: str) -> str:
    """Kind of things that ``xaibench list`` shows, from its name in the plural or singular.

    Raises
    ------
    UsageError
        If there is no such kind.

    Examples
    --------
    >>> from xaibench.cli.choices import listed
    >>> listed("explainer"), listed("metrics")
    ('explainers', 'metrics')
    """
    plural = text if text in LISTED else f"{text}s"
    if plural not in LISTED:
        raise UsageError(f"{text!r} cannot be listed", did_you_mean(text, LISTED))
    return plural


class PlainCommand(TyperCommand):
    """A command whose messages about wrong values do not begin with the name of a Python exception."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        try:
            return super().parse_args(ctx, args)
        except BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise
