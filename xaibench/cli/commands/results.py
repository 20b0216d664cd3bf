"""Commands about the results of a store: tables, comparisons, claims, reports and audits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xaibench.cli.options import Format, JsonOption, PluginOption, StoreArgument
from xaibench.core.storage.paths import local_path, parse_location


def leaderboard(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Use the results of this suite only.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Show only this data set.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Show only this model.")] = None,
    explainer: Annotated[str | None, typer.Option("--explainer", help="Show only this explainer.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Show values, intervals and ranks by this metric.")
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="Show only metrics of this family.")] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="dataset|model|family|masker",
            help="Show mean relative ranks, one column for each of these.",
        ),
    ] = None,
    overall: Annotated[
        str | None,
        typer.Option(
            "--overall",
            metavar="error|drop|worst",
            help="Show overall ranks. Where a score is missing: stop (error), leave out (drop), or rank last (worst).",
        ),
    ] = None,
    trust: Annotated[
        Path | None,
        typer.Option(
            "--trust",
            parser=local_path,
            metavar="FILE",
            help="Weight metrics in the overall rank by the audit.parquet of another store.",
        ),
    ] = None,
    wide: Annotated[
        bool,
        typer.Option(
            "--wide", help="Show one column per metric: mean relative ranks, or values if there is one problem."
        ),
    ] = False,
    legend: Annotated[
        bool, typer.Option("--legend", help="Explain the words and marks, below the leaderboard.")
    ] = False,
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="Output format [default: table, or as the file name says].")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=local_path,
            metavar="FILE",
            help="Write the leaderboard to this file instead of the screen.",
        ),
    ] = None,
) -> None:
    """Print the leaderboard of a store, and write it there as Parquet and CSV."""
    from xaibench.cli.boards import View, show_leaderboard

    filters = {"dataset": dataset, "model": model, "explainer": explainer, "metric": metric, "family": family}
    view = View(suite, filters, overall, by, trust, wide, legend)
    show_leaderboard(store, view, form=format and format.value, output=output)


def compare(
    baseline: Annotated[str, typer.Argument(help="Folder or URL of a store, or STORE@RUN for one of its runs.")],
    candidate: Annotated[str, typer.Argument(help="Store or run that is judged, written like the baseline.")],
    suite: Annotated[str | None, typer.Option("--suite", help="Use the results of this suite only.")] = None,
    delta: Annotated[
        list[str] | None,
        typer.Option("--delta", metavar="METRIC=VALUE", help="Smallest change of this metric's mean that matters."),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Treat every change beyond rounding as real: the suite is deterministic.")
    ] = False,
    allow_lost: Annotated[
        bool, typer.Option("--allow-lost", help="Do not count missing cells as regressions.")
    ] = False,
    max_slowdown: Annotated[
        float | None,
        typer.Option(
            "--max-slowdown",
            min=1,
            metavar="X",
            help="Fail if explaining or scoring takes more than X times as long, and half a second more in all.",
        ),
    ] = None,
    max_memory: Annotated[
        float | None,
        typer.Option(
            "--max-memory",
            min=1,
            metavar="X",
            help="Fail if explaining or scoring takes more than X times as much memory, and 200 MB more.",
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit", parser=local_path, metavar="FILE", help="Write the findings to this file as JUnit XML."
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown", parser=local_path, metavar="FILE", help="Write the summary to this file as Markdown."
        ),
    ] = None,
    plugin: PluginOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two runs cell by cell, and fail if the candidate is worse.

    A regression is a change for the worse beyond a practical delta and by a corrected paired test. The summary
    is appended to $GITHUB_STEP_SUMMARY where that is set.

    Exit codes: 0 no regression, 1 regression, 2 wrong usage, 4 nothing comparable.
    """
    from xaibench.cli.comparing import print_comparison

    raise typer.Exit(
        print_comparison(
            baseline,
            candidate,
            suite=suite,
            deltas=delta or [],
            exact=exact,
            allow_lost=allow_lost,
            max_slowdown=max_slowdown,
            max_memory=max_memory,
            junit_file=junit,
            markdown_file=markdown,
            plugins=plugin or [],
            json=json,
        )
    )


def claims(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Use the results of this suite only.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Show verdict and effect after every run.")] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with 1 if a claim is refuted or a problem invalid, 4 if none is decided."),
    ] = False,
    all: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Show every claim of every shipped suite: with the verdicts of STORE, or of the published results.",
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=local_path,
            metavar="FILE",
            help="With --all: write the claims to this file (.md, .csv, .json, .html, .parquet).",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Test published claims on the results, with effect and interval, and write claims.parquet.

    Each verdict comes with what would change it: another margin, or roughly how many more units.
    "k of n" marks claims for which only k of n units differ at all: their tests and intervals are too optimistic.
    """
    if all:
        from xaibench.cli.claims_index import show_claims_index

        show_claims_index(store, suite=suite, json=json, output=output, unsuited=strict or history)
        return
    if output is not None:
        from xaibench.core.errors import UsageError

        raise UsageError("--output goes with --all", "the verdicts of a store are in its claims.parquet")
    from xaibench.cli.claiming import show_claims

    raise typer.Exit(show_claims(store, suite=suite, json=json, strict=strict, history=history))


def report(
    store: StoreArgument = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=local_path, metavar="FILE", help="HTML file to write.")
    ] = Path("report.html"),
    suite: Annotated[str | None, typer.Option("--suite", help="Use the results of this suite only.")] = None,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Number of samples per problem whose explanations are shown.")
    ] = 4,
    problems: Annotated[
        int, typer.Option("--problems", min=0, help="Number of problems whose examples and curves are shown.")
    ] = 8,
    curves: Annotated[bool, typer.Option("--curves/--no-curves", help="Show removal curves.")] = True,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures",
            parser=local_path,
            metavar="FOLDER",
            help="Also write every figure to this folder, as PNG and SVG.",
        ),
    ] = None,
    pdf: Annotated[
        Path | None,
        typer.Option(
            "--pdf", parser=local_path, metavar="FILE", help="Also write all figures to this PDF, one per page."
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Write a report as one HTML page: leaderboard, ranks, curves, examples, claims, failures, provenance.

    Everything comes from the store: no data, no models and no cache are needed, and nothing is evaluated.
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


def watch(
    store: StoreArgument = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Port of the page [default: 8765, or the next free one]."),
    ] = None,
) -> None:
    """Show the report of a store in the browser while a run fills it. Ctrl-C ends it.

    The page is served to this machine only (127.0.0.1), loads itself again, and changes nothing in the store.
    """
    from xaibench.cli.watching import watch_store

    watch_store(store, port=port)


def audit(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Use the results of this suite only.")] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="GLOB", help="Show these metrics only: a pattern, or a library (quantus)."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Judge the metrics: which deserve trust on which problems. Writes audit.parquet to the store.

    Works best on the results of `xaibench run audit`, which have explanations of known quality and several seeds.
    """
    from xaibench.cli.auditing import show_audit

    raise typer.Exit(show_audit(store, suite=suite, metrics=metrics, json=json))


def agreement(
    store: StoreArgument = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Use the results of this suite only.")] = None,
    k: Annotated[
        str, typer.Option("--k", help="How many top features are compared: a number, or a share of all.")
    ] = "0.25",
    measure: Annotated[
        str,
        typer.Option("--measure", metavar="feature|rank|sign|signed_rank", help="What two explainers must agree on."),
    ] = "feature",
    json: JsonOption = False,
) -> None:
    """Measure how much explainers agree, compared with chance, and write agreement.parquet."""
    from xaibench.cli.auditing import show_agreement

    raise typer.Exit(show_agreement(store, suite=suite, k=k, measure=measure, json=json))


def race(
    replay: Annotated[
        Path, typer.Option("--replay", parser=parse_location, metavar="STORE", help="Store whose scores are raced.")
    ],
    suite: Annotated[str | None, typer.Option("--suite", help="Use the results of this suite only.")] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", metavar="best|placebo|anytime", help="Only this race [default: all three].")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=2, help="Leave out comparisons with fewer samples than this.")
    ] = 24,
    json: JsonOption = False,
) -> None:
    """Replay races on stored scores: what they would save, and which decisions they would keep. Runs nothing.

    `xaibench run --race MODE` is a real race.
    """
    from xaibench.cli.racing import show_replay

    raise typer.Exit(show_replay(replay, suite=suite, mode=mode, samples=samples, json=json))
