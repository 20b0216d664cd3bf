"""The command line's application: which commands there are, in the order in which `--help` lists them."""

from __future__ import annotations

from typing import Annotated

import typer

from xaibench.cli.choices import PlainCommand
from xaibench.cli.commands import certificates, components, data, results, stores, suites

app = typer.Typer(
    name="xaibench",
    help="Tests explanation methods on your model and data, and says which of them can be trusted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="List data sets, and download those that are not shipped.", no_args_is_help=True, rich_markup_mode=None
)


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
    """Tests explanation methods on your model and data, and says which of them can be trusted."""


app.command(cls=PlainCommand)(suites.run)
app.command(cls=PlainCommand)(suites.plan)
app.command(cls=PlainCommand)(suites.recommend)
app.command(cls=PlainCommand)(suites.init)
app.command(cls=PlainCommand)(suites.export)
app.command(cls=PlainCommand)(certificates.certify)
app.command("list", cls=PlainCommand)(components.list_)
app.command(cls=PlainCommand)(components.show)
app.command(cls=PlainCommand)(results.leaderboard)
app.command(cls=PlainCommand)(results.compare)
app.command(cls=PlainCommand)(results.claims)
app.command(cls=PlainCommand)(results.report)
app.command(cls=PlainCommand)(results.watch)
app.command(cls=PlainCommand)(results.audit)
app.command(cls=PlainCommand)(results.agreement)
app.command(cls=PlainCommand)(results.race)
app.command(cls=PlainCommand)(stores.doctor)
app.command(cls=PlainCommand)(stores.merge)
app.command(cls=PlainCommand)(stores.gc)
data_app.command("list", cls=PlainCommand)(data.data_list)
data_app.command("fetch", cls=PlainCommand)(data.data_fetch)
app.add_typer(data_app, name="data")
