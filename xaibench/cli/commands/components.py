"""Commands about what can be chosen: components, suites and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xaibench.cli.options import JsonOption, Listed, PluginOption
from xaibench.core.storage.paths import parse_location


def list_(
    kind: Annotated[Listed | None, typer.Argument(help="What to list.", show_default="everything")] = None,
    plugin: PluginOption = None,
    long: Annotated[bool, typer.Option("--long", help="A table of everything that is known, a row each.")] = False,
    json: JsonOption = False,
) -> None:
    """List components and suites: names by family; of one kind also what each is, in a line."""
    from xaibench.cli.listing import list_components

    list_components(kind and kind.value, plugins=plugin, long=long, json=json)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a component or a suite, of a problem (digits/cnn), a function (find/numeric/0042) or a case."
        ),
    ],
    plugin: PluginOption = None,
    interpreter: Annotated[
        str | None, typer.Option("--interpreter", help="Of a function: whose answer is shown.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Of an explainer, or of the interpreter.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="DATASET/MODEL", help="Of an explainer: the layer of this model that it uses; trains it."
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", parser=parse_location, help="Of a function: show the answer stored here, and ask nobody."
        ),
    ] = None,
    budget: Annotated[int, typer.Option("--budget", min=1, help="Of a function: questions that may be asked.")] = 128,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**30, help="Of a function or a model: seed of the set.")
    ] = 0,
    png: Annotated[Path | None, typer.Option("--png", help="Of a function: draw into this file.")] = None,
) -> None:
    """Show a component's documentation, parameters and source; a fitted model; or a function and an answer."""
    from xaibench.cli.listing import show_component
    from xaibench.cli.problems import problem_parts, show_problem

    parts = problem_parts(name) if "/" in name else None
    if parts is not None:
        show_problem(*parts, plugins=plugin, seed=seed)
        return
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
    show_component(name, plugins=plugin, model=model, params=param, seed=seed)
