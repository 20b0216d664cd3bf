"""Options and arguments that several commands share, and the values that some of them take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from xaibench.core.storage.paths import parse_location


class RerunChoice(StrEnum):
    """Which cells to run again."""

    failed = "failed"
    stale = "stale"
    all = "all"


class Format(StrEnum):
    """How to write a leaderboard."""

    table = "table"
    markdown = "markdown"
    csv = "csv"
    json = "json"
    html = "html"
    parquet = "parquet"


SuiteArgument = Annotated[str, typer.Argument(help="Name of a shipped suite, or path of a suite file (TOML).")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        parser=parse_location,
        metavar="STORE",
        help="Folder or URL (s3://bucket/store) for the results [default: results/local in a checkout].",
    ),
]
StoreArgument = Annotated[
    Path | None,
    typer.Argument(
        parser=parse_location, metavar="STORE", help="Folder or URL of the store.", show_default="the default store"
    ),
]
PluginOption = Annotated[
    list[str] | None, typer.Option("--plugin", help="Python file or module with your own components.")
]
TrustOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="FILE",
        help="Open this file although it can run code (joblib, pickled parts), or is outside the suite's folder.",
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="GLOB",
        help="Run only matching cells, and the controls: a name, or dataset/model/explainer/metric.",
    ),
]
SkipOption = Annotated[list[str] | None, typer.Option("--skip", metavar="GLOB", help="Leave out matching cells.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Use at most this many samples per problem.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**30, help="Number added to every seed of the suite.")]
RerunOption = Annotated[
    RerunChoice | None,
    typer.Option("--rerun", help="Run only failed cells, only stale cells, or all cells again, cached ones included."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="I/N", help="Run only the I-th of N parts of the suite; `xaibench merge` joins the stores."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device that models run on: cpu, cuda, cuda:1 or mps.")]
WorkersOption = Annotated[
    str,
    typer.Option(
        "--workers",
        "-j",
        metavar="N|auto",
        envvar="XAIBENCH_WORKERS",
        help="Number of worker processes: auto is one per core; 0 runs in this process.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show progress.")]
