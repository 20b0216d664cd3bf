"""Commands about the results of a store: tables, comparisons, claims, reports and audits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xaibench.cli.options import Format, JsonOption, PluginOption, StoreArgument
from xaibench.core.storage.paths import local_path


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
        typer.Option(
            "--trust",
            parser=local_path,
            metavar="FILE",
            help="Weights of metrics in an overall rank: audit.parquet of another store.",
        ),
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="A column for every metric: mean relative ranks, or values of one problem.")
    ] = False,
    legend: Annotated[bool, typer.Option("--legend", help="Say what the words and marks of the board mean.")] = False,
    format: Annotated[
        Format | None, typer.Option("--format", "-f", help="Output format [default: table, or by the file's name].")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", parser=local_path, metavar="FILE", help="Write into this file.")
    ] = None,
) -> None:
    """Print the leaderboard of a store, and write it there as Parquet and CSV."""
    from xaibench.cli.boards import View, show_leaderboard

    filters = {"dataset": dataset, "model": model, "explainer": explainer, "metric": metric, "family": family}
    view = View(suite, filters, overall, by, trust, wide, legend)
    show_leaderboard(store, view, form=format and format.value, output=output)


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
    junit: Annotated[
        Path | None, typer.Option("--junit", parser=local_path, metavar="FILE", help="Write JUnit XML.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", parser=local_path, metavar="FILE", help="Write the CI summary.")
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
            junit_file=junit,
            markdown_file=markdown,
            plugins=plugin or [],
            json=json,
        )
    )


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


def report(
    store: StoreArgument = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=local_path, metavar="FILE", help="The page to write.")
    ] = Path("report.html"),
    suite: Annotated[str | None, typer.Option("--suite", help="Only this suite.")] = None,
    examples: Annotated[int, typer.Option("--examples", min=0, help="Samples per problem to show maps of.")] = 4,
    problems: Annotated[int, typer.Option("--problems", min=0, help="Problems to show examples and curves of.")] = 8,
    curves: Annotated[bool, typer.Option("--curves/--no-curves", help="Show removal curves.")] = True,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", parser=local_path, metavar="FOLDER", help="Folder for every figure, PNG and SVG."),
    ] = None,
    pdf: Annotated[
        Path | None, typer.Option("--pdf", parser=local_path, metavar="FILE", help="File for all figures, a page each.")
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
