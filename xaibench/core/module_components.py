"""Components named by a module or a file and a name in it: decorated functions, and models that are objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xaibench.core.components import Component, Kind
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.object_recipes import recipe_of, takes_data
from xaibench.core.plugins import load_module
from xaibench.core.session_objects import component_of_object, is_object_reference
from xaibench.core.source_files import SOURCE


def component_of_module(
    kind: Kind, ref: str, *, folder: Path | None, check: bool, load_built_in: Callable[[], None]
) -> Component:
    """The component ``module:name`` or ``path/to/file.py:name``, or an object of this session.

    Parameters
    ----------
    kind : {"explainer", "metric", "dataset", "model", "interpreter", "functions"}
    ref : str
    folder : Path or None
        Folder that relative file paths start from; default the current one.
    check : bool
        Look whether a file has changed since it was imported, and import it again then.
    load_built_in : callable
        Registers the built-in components of this kind, which a model that is an object may need.

    Raises
    ------
    UsageError
        If there is no such module or name, or it is something else.
    """
    if is_object_reference(ref):
        return component_of_object(kind, ref)
    source, _, attribute = ref.rpartition(":")
    module = load_module(source, folder=folder, check=check)
    function = getattr(module, attribute, None)
    if function is None:
        names = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__]
        if kind == "model":
            load_built_in()
            others = {n: v for n, v in vars(module).items() if n not in names and not n.startswith("_")}
            names += [n for n, v in others.items() if recipe_of(v, vars(module).get(SOURCE)) is not None]
        raise UsageError(f"{source} has no {attribute!r}", did_you_mean(attribute, names))
    spec = getattr(function, "__xaibench__", None)
    if spec is None and kind == "model":
        called = f"{Path(source).stem if source.endswith('.py') else source}.{attribute}"
        if not takes_data(function):
            load_built_in()
            function = recipe_of(function, vars(module).get(SOURCE)) or function
        spec = ModelSpec(called, function) if callable(function) else None
    if not isinstance(spec, Component) or spec.kind != kind:
        decorator = {"functions": "function_set"}.get(kind, kind)
        raise UsageError(f"{ref} is not a registered {kind}", f"decorate it with @xaibench.{decorator}(...)")
    return spec
