"""``xaibench show DATASET/MODEL``: a fitted model, as a first look at its outputs found it."""

from __future__ import annotations

from collections.abc import Sequence

from xaibench.cli.output import stdout
from xaibench.core import registry
from xaibench.report.model_facts import describe_model


def problem_parts(name: str) -> tuple[str, str] | None:
    """Data set and model of ``DATASET/MODEL``, or None if nothing before a slash is a data set.

    Names of functions and cases end in a number, also where a data set is called as they begin.
    """
    if name.rpartition("/")[2].isdecimal():
        return None
    known = {spec.name for spec in registry.components("dataset")}
    places = [i for i, letter in enumerate(name) if letter == "/"]
    for i in places:
        if name[:i] in known or ":" in name[:i]:
            return name[:i], name[i + 1 :]
    return None


def show_problem(dataset: str, model: str, *, plugins: Sequence[str] | None, seed: int) -> None:
    """Print what is known about a model once it is fitted; it is fitted if it is not in the cache."""
    from xaibench.api.layers import prepared_problem

    for plugin in plugins or ():
        registry.load_module(plugin)
    problem = prepared_problem(dataset, model, seed)
    facts = describe_model(problem.info["model"])
    width = max(map(len, facts))
    lines = [f"model {problem.name}", "", *(f"{name:<{width}}  {text}" for name, text in facts.items())]
    lines += [f"{'gate':<{width}}  {gate}" for gate in problem.gates]
    stdout().print("\n".join(lines), markup=False, soft_wrap=True)
