"""Commands about suites: run one, or show what a run would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xaibench.cli.options import (
    DeviceOption,
    JsonOption,
    LimitOption,
    OnlyOption,
    PluginOption,
    QuietOption,
    RerunOption,
    SeedOption,
    ShardOption,
    SkipOption,
    StoreOption,
    SuiteArgument,
    TrustOption,
    WorkersOption,
)


def run(
    suite: SuiteArgument = "quick",
    store: StoreOption = None,
    seed: SeedOption = 0,
    only: OnlyOption = None,
    skip: SkipOption = None,
    limit: LimitOption = None,
    rerun: RerunOption = None,
    shard: ShardOption = None,
    plugin: PluginOption = None,
    trust: TrustOption = None,
    device: DeviceOption = "cpu",
    workers: WorkersOption = "auto",
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="CPU threads per worker; more than 1 helps large models only.")
    ] = 1,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout", metavar="SECONDS", help="Stop a unit (one explanation and its scores) that takes longer."
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="Stop a worker that uses more memory than this, for example 4GB."
        ),
    ] = None,
    retry: Annotated[
        int, typer.Option("--retry", min=0, help="How often a unit is repeated whose worker was killed or lost.")
    ] = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help="Inputs per call of the model, instead of the built-in rule. Does not change scores.",
        ),
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", min=0, help="Stop the run when more cells than this have failed.")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            "--executor",
            metavar="NAME",
            help="Where units run: dask, slurm, or an executor of an installed package. Default: here.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Address of a Dask scheduler; without it, a local cluster with -j workers is started.",
        ),
    ] = None,
    partition: Annotated[
        str | None,
        typer.Option("--partition", metavar="NAME", help="Partition of the Slurm cluster that jobs are submitted to."),
    ] = None,
    minutes: Annotated[str | None, typer.Option("--time", metavar="MINUTES", help="Time limit of a Slurm job.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of the executor.")
    ] = None,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples/--no-examples",
            help="Store a few example inputs per problem (at most 5 MB), so that a report can show them.",
        ),
    ] = True,
    race: Annotated[
        str | None,
        typer.Option(
            "--race",
            metavar="best|placebo|anytime",
            help="Take samples in blocks, and stop explainers that another one beats (best, anytime), or that placebos"
            " decide (placebo). For 200 samples and more; runs in this process.",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a suite. Results that the store already holds are not computed again.

    Exit codes: 0 success, 2 wrong usage, 3 cells failed, 4 nothing ran, 130 interrupted (run again to resume).
    """
    from xaibench.cli.arguments import settings_from
    from xaibench.cli.request import Request
    from xaibench.cli.running import run_request

    request = Request(suite, store, seed, only, skip, limit, rerun and rerun.value, plugin, device, shard)
    raise typer.Exit(
        run_request(
            request,
            workers=workers,
            timeout=timeout,
            memory=memory,
            json=json,
            quiet=quiet,
            trust=trust,
            threads=threads,
            retry=retry,
            batch_size=batch_size,
            max_failures=max_failures,
            executor=executor,
            examples=examples,
            race=race,
            settings=settings_from(setting, scheduler=scheduler, partition=partition, time=minutes),
        )
    )


def plan(
    suite: SuiteArgument = "quick",
    store: StoreOption = None,
    seed: SeedOption = 0,
    only: OnlyOption = None,
    skip: SkipOption = None,
    limit: LimitOption = None,
    rerun: RerunOption = None,
    shard: ShardOption = None,
    plugin: PluginOption = None,
    trust: TrustOption = None,
    device: DeviceOption = "cpu",
    cells: Annotated[
        bool, typer.Option("--cells", help="List every cell with its state and the reason for it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what a run would compute, without running or writing anything."""
    from xaibench.cli.planning import show_plan
    from xaibench.cli.request import Request

    request = Request(suite, store, seed, only, skip, limit, rerun and rerun.value, plugin, device, shard)
    raise typer.Exit(show_plan(request, trust=trust, cells=cells, json=json))


def init(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="FILE|NAME",
            help="A table (CSV, TSV, Parquet, Feather), an npz file, a folder of images, or the name of a data set.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="FILE|NAME|FILE.py:NAME",
            help="A fitted model (onnx, skops, pt2, pt, joblib), a name from `xaibench list models`, or a function of "
            "yours that returns a fitted model.",
        ),
    ],
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="Column of the table that is to be predicted.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Suite file to write.")] = Path(
        "suite.toml"
    ),
    explanations: Annotated[
        list[str] | None,
        typer.Option(
            "--explanations", metavar="FILE", help="Maps that another tool made (npz, Parquet), to be scored as well."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", metavar="COLUMN", help="Column of the table that says train or test.")
    ] = None,
    trust: TrustOption = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a small suite for your data and model, with comments, and check that it can be planned.

    For a CSV file and a model that is to be fitted, a Python file with the data set is written next to the suite; edit
    it where it does not fit. Files of fitted models and of explanations are named in the suite as they are.
    """
    from xaibench.cli.initialising import write_first_suite

    raise typer.Exit(
        write_first_suite(
            data,
            model,
            target=target,
            output=output,
            force=force,
            explanations=explanations or (),
            split=split,
            trust=trust or (),
        )
    )


def export(
    suite: SuiteArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Folder to write the files to.")],
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Export only this dataset, or dataset/model.")
    ] = None,
    limit: LimitOption = None,
    plugin: PluginOption = None,
    trust: TrustOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Write inputs, targets, outputs and row ids of every problem, so that another tool can explain them.

    Maps stored with these row ids can be scored beside all controls: explainers = [{ file = "maps.npz" }].
    """
    from xaibench.cli.exporting import export_suite

    raise typer.Exit(export_suite(suite, output, only=only, limit=limit, plugins=plugin, trust=trust, device=device))


def recommend(
    suite: SuiteArgument = "quick",
    store: StoreOption = None,
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """List the explainers that apply to the problems of a suite, and what earlier leaderboards of the store say.

    Nothing is run. A leaderboard itself opens with its advice; `xaibench run` makes one.
    """
    from xaibench.cli.recommending import show_recommendations

    raise typer.Exit(show_recommendations(suite, store, plugins=plugin or [], json=json))
