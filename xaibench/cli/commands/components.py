"""Commands about what can be chosen: components, suites and functions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xaibench.cli.choices import LISTED, listed
from xaibench.cli.options import JsonOption, PluginOption
from xaibench.core.storage.paths import parse_location


def list_(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help=f"What to list: {', '.join(LISTED)}. Without it, everything is listed by name.",
            show_default="everything",
        ),
    ] = None,
    plugin: PluginOption = None,
    long: Annotated[
        bool, typer.Option("--long", help="Print a table with one row per component: needs, kind and family.")
    ] = False,
    adapters: Annotated[
        bool,
        typer.Option("--adapters", help="List explainers and metrics of other libraries, such as captum:Saliency."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List components and suites. With a kind, each name has a line that says what it is."""
    from xaibench.cli.listing import list_components

    list_components(kind and listed(kind), plugins=plugin, long=long, json=json, adapters=adapters)


def show(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A component, a masker, a suite, a problem (digits/cnn), a function or case (find/numeric/0042), or a "
            "term of the glossary."
        ),
    ],
    plugin: PluginOption = None,
    interpreter: Annotated[
        str | None, typer.Option("--interpreter", help="For a function or case: the interpreter whose answer is shown.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the explainer or interpreter."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="DATASET/MODEL",
            help="For an explainer: show which layer of this model it uses. Trains the model if it is not cached.",
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            parser=parse_location,
            help="For a function or case: show the answer stored in this store; no interpreter is run.",
        ),
    ] = None,
    budget: Annotated[
        int, typer.Option("--budget", min=1, help="For a function: how many inputs the interpreter may ask about.")
    ] = 128,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**30, help="For a function or a model: the problem seed.")
    ] = 0,
    png: Annotated[
        Path | None, typer.Option("--png", help="For a numeric function: write a picture to this file.")
    ] = None,
) -> None:
    """Show what a name stands for: a component, a suite, a fitted model, a function, or a term of the glossary."""
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
    commands = getattr(context.find_root().command, "commands", {})
    show_component(name, plugins=plugin, model=model, params=param, seed=seed, commands=commands)
