"""The command about certificates of explainers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xaibench.cli.options import JsonOption, QuietOption, StoreOption, TrustOption, WorkersOption


def certify(
    model: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|STUDY.toml",
            help="Recipe: file.py:build (fits a model), file.py:pipeline (unfitted), file.py:net (torch), a name from "
            "`xaibench list models`, or a TOML file that says all of it.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE|NAME", help="A table, a folder of images, or the name of a data set."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="Column of the table that is predicted.")
    ] = None,
    plant: Annotated[
        str | None,
        typer.Option(
            "--plant",
            metavar="NAME",
            help="Tables: new, overwrite, category, pair. Images: patch, texture, tint. Series: bump. "
            "Texts: token. [default: the first of these]",
        ),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", metavar="NAME", help="Column that overwrite or category plants in.")
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            "--levels", metavar="A,B,...", help="How strongly labels follow the plant [default: 0,0.3,0.6,1]."
        ),
    ] = None,
    copies: Annotated[int | None, typer.Option("--copies", min=1, help="Copies per level [default: 3].")] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=10, help="Test rows explained on every copy [default: 100].")
    ] = None,
    explainers: Annotated[
        str | None, typer.Option("--explainers", metavar="A,B,...", help="Which explainers [default: all that apply].")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="Labels follow the plant (carriers), or the plant agrees with labels (agree) [default: carriers].",
        ),
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", help="Share of the training rows that carry the plant [default: 0.5].")
    ] = None,
    fail_above: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-above", metavar="EXPLAINER=R", help="Exit with 1 if this explainer's threshold is above R."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write a report page.")] = None,
    store: StoreOption = None,
    workers: WorkersOption = "auto",
    trust: TrustOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Go on even if fitting takes more than half an hour.")] = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Plant a shortcut into copies of your data: from which reliance on does each explainer show it?

    Exit codes: 0 answered, 1 a threshold is above --fail-above, 2 wrong usage, 3 cells failed, 4 no copy passed its
    gates, so that nothing is certified. The same command resumes after an interruption.
    """
    from xaibench.cli.arguments import number_list
    from xaibench.cli.certifying import certify_command

    file = model if model.endswith(".toml") else None
    given = {
        "model": None if file else model,
        "data": data,
        "target": target,
        "plant": plant,
        "column": column,
        "levels": None if levels is None else number_list(levels, "--levels"),
        "copies": copies,
        "rows": rows,
        "explainers": None if explainers is None else [name.strip() for name in explainers.split(",")],
        "protocol": protocol,
        "share": share,
    }
    raise typer.Exit(
        certify_command(
            given,
            file=file,
            store=store,
            workers=workers,
            trust=trust or (),
            fail_above=fail_above or (),
            yes=yes,
            json=json,
            quiet=quiet,
            output=output,
        )
    )
