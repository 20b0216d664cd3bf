"""Commands about stores: check, join and clean them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xaibench.cli.options import StoreArgument
from xaibench.core.storage.paths import parse_location


def doctor(
    store: StoreArgument = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete damaged files and leftovers.")] = False,
    tracebacks: Annotated[bool, typer.Option("--tracebacks", help="Print the tracebacks of failed cells.")] = False,
) -> None:
    """Check the environment and a store. Exit code 3 if files are damaged; the next run recomputes their cells."""
    from xaibench.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(store, remove=remove, tracebacks=tracebacks))


def merge(
    dest: Annotated[
        Path,
        typer.Argument(
            parser=parse_location, metavar="DEST", help="Store to join into; it is created if it does not exist."
        ),
    ],
    sources: Annotated[list[Path], typer.Argument(parser=parse_location, metavar="SRC", help="Stores to join.")],
) -> None:
    """Join stores, such as those of shards. Merging twice changes nothing.

    Where two stores have different values for the same content, both are printed and nothing is written.
    """
    from xaibench.cli.merging import merge_stores

    raise typer.Exit(merge_stores(dest, sources))


def gc(
    store: StoreArgument = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")
    ] = False,
    keep_runs: Annotated[
        int | None,
        typer.Option("--keep-runs", min=1, metavar="N", help="Delete all but the newest N runs of each suite."),
    ] = None,
) -> None:
    """Remove what no result needs: superseded rows, explanations without results, files of killed runs."""
    from xaibench.cli.collecting import collect_garbage

    raise typer.Exit(collect_garbage(store, dry_run=dry_run, keep_runs=keep_runs))
