"""Recipes that are objects of a Python session: estimators, pipelines, functions that fit, networks to train on."""

from __future__ import annotations

import inspect
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import torch
from torch import nn

from xaibench.core import registry
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import UsageError
from xaibench.core.keys import digest
from xaibench.core.object_recipes import recipe_of, takes_data
from xaibench.core.predictor import Predictor
from xaibench.core.session_objects import object_reference
from xaibench.core.source_files import is_installed, source_of
from xaibench.core.storage.files import tensor_digest
from xaibench.models.unfitted import is_estimator

_KINDS = (
    "give an unfitted estimator or pipeline, a function build(data, seed) that fits, a torch network to train on, or a "
    "name"
)


def recipe_reference(found: Any) -> str:
    """What suites of this session call a recipe: a name or file as it is, an object by name and content.

    Raises
    ------
    UsageError
        If it is a fitted model that cannot be trained again, a class, or no recipe at all.
    """
    if isinstance(found, str | Path):
        return str(found)
    if inspect.isclass(found):
        raise UsageError(f"{found.__name__} is a class", f"give an instance of it: {found.__name__}(...)")
    if isinstance(found, Predictor):
        raise UsageError("this is a fitted model and cannot be certified: a copy must be trained", _KINDS)
    registered = getattr(found, "__xaibench__", None)
    if isinstance(registered, ModelSpec):
        return registered.name
    registry.get("model", "mlp")  # imports what makes recipes of objects
    content = content_of(found)
    if takes_data(found):
        name, function = str(getattr(found, "__name__", "recipe")).strip("<>"), _own(found)
    else:
        name, made = _name_of(found), recipe_of(found, None)
        if made is None:
            raise UsageError(f"a {type(found).__name__} is not a recipe: copies of it cannot be trained", _KINDS)
        function = made
    function.content_digest = content  # type: ignore[attr-defined]
    return object_reference(ModelSpec(name, function), content)


def content_of(found: Any) -> str:
    """Digest of an object and of the code behind it; a new one every time where it cannot be known.

    Of an estimator its parameters, the classes of its steps and the functions among its parameters; of a function its
    source, its defaults, what it closes over and what it is bound to; of a network its layers, weights, classes and
    other attributes.
    """
    try:
        if isinstance(found, nn.Module):
            state = {name: tensor_digest(t) for name, t in found.state_dict().items() if isinstance(t, torch.Tensor)}
            classes = sorted({_source(type(part)) for part in found.modules()})
            beside = [_attributes(part) for part in found.modules()]
            return digest("network", repr(found), state, classes, beside)
        if is_estimator(found):
            params = found.get_params(deep=True)
            return digest("estimator", joblib.hash(found), [_source(code) for code in _code(found, params)])
        return digest("function", *_function(found))
    except Exception:  # What cannot be pickled or read has no content that could be compared.
        return uuid.uuid4().hex


def _function(found: Any) -> list[str]:
    """Digests of the code of a function and of the values that it works with beside its arguments."""
    cells = [cell.cell_contents for cell in getattr(found, "__closure__", None) or ()]
    given = [getattr(found, name, None) for name in ("__defaults__", "__kwdefaults__", "__self__")]
    return [_source(found), *(str(joblib.hash(value)) for value in (*cells, *given))]


def _attributes(part: nn.Module) -> dict[str, list[str]]:
    """Digests of what a network holds beside parameters, buffers and parts, such as a factor that it multiplies by."""
    own = {name: value for name, value in vars(part).items() if not name.startswith("_") and name != "training"}
    return {
        name: _function(value) if inspect.isroutine(value) else [str(joblib.hash(value))]
        for name, value in sorted(own.items())
    }


def _source(thing: Any) -> str:
    """Digest of the code behind a class or function of the caller; of an installed package its version."""
    top = str(getattr(thing, "__module__", "")).partition(".")[0]
    package = sys.modules.get(top)
    file = getattr(package, "__file__", None)
    if file is not None and is_installed(Path(file)):
        return f"{top} {getattr(package, '__version__', '')} {getattr(thing, '__qualname__', '')}"
    return str(source_of(thing))


def _code(found: Any, params: dict[str, Any]) -> Iterator[Any]:
    yield type(found)
    for _, value in sorted(params.items()):
        if inspect.isroutine(value) or inspect.isclass(value):
            yield value
        elif is_estimator(value):
            yield type(value)


def _name_of(found: Any) -> str:
    return str(getattr(found, "__name__", None) or type(found).__name__).strip("<>")


def _own(found: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one of its own, with its signature, so that marking it leaves the caller's alone."""
    signature = inspect.signature(found)

    def fit(*args: Any, **more: Any) -> Any:
        return found(*args, **more)

    fit.__signature__, fit.__doc__ = signature, inspect.getdoc(found)  # type: ignore[attr-defined]
    return fit
