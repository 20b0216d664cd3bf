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


class Listed(StrEnum):
    """What can be listed."""

    datasets = "datasets"
    models = "models"
    explainers = "explainers"
    metrics = "metrics"
    functions = "functions"
    interpreters = "interpreters"
    suites = "suites"


SuiteArgument = Annotated[str, typer.Argument(help="A shipped suite's name, or the path of a TOML file.")]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        parser=parse_location,
        metavar="STORE",
        help="Folder of results, or a URL such as s3://bucket/store [default: results/local in a checkout].",
    ),
]
StoreArgument = Annotated[
    Path | None,
    typer.Argument(
        parser=parse_location, metavar="STORE", help="Folder or URL of results.", show_default="the default store"
    ),
]
PluginOption = Annotated[
    list[str] | None, typer.Option("--plugin", help="Python file or module with components of your own.")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="GLOB",
        help="Only these, and the controls: a name, or dataset/model/explainer/metric, with parameters or without.",
    ),
]
SkipOption = Annotated[list[str] | None, typer.Option("--skip", metavar="GLOB", help="All but these.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many samples per problem.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**30, help="Offset of all seeds of the suite.")]
RerunOption = Annotated[
    RerunChoice | None, typer.Option("--rerun", help="Run only failed or stale cells, or all again.")
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Only the I-th of N parts of the suite; merge joins them.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where models run: cpu, cuda, cuda:1, mps.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress.")]
