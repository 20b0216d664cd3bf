"""Recipes that are objects in a user's file: an unfitted estimator, a fitted network that is trained on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

ObjectRecipe = Callable[..., Any]
"""A recipe ``(data, *, seed, ...) -> model`` made of an object."""
MakeRecipe = Callable[[Any], ObjectRecipe | None]
"""Makes a recipe of an object, or says that it makes none of such ones."""
_makers: list[MakeRecipe] = []
_made: dict[int, tuple[Any, ObjectRecipe]] = {}
"""Recipes of objects by identity: one object is one recipe, however often it is named."""


def makes_recipes(maker: MakeRecipe) -> MakeRecipe:
    """Register what makes recipes of objects of some kind."""
    _makers.append(maker)
    return maker


def takes_data(found: Any) -> bool:
    """Whether something is a function with parameters: a recipe as it is."""
    return inspect.isroutine(found) and bool(inspect.signature(found).parameters)


def recipe_of(found: Any, source: str | None) -> ObjectRecipe | None:
    """The recipe that an object is, None if it is none.

    Parameters
    ----------
    found : object
        What a reference such as ``file.py:pipeline`` names.
    source : str, optional
        Digest of the code that made it, which keys of results hold.
    """
    known = _made.get(id(found))
    if known is not None and known[0] is found:
        return known[1]
    for maker in _makers:
        recipe = maker(found)
        if recipe is not None:
            if source is not None:
                recipe.content_digest = source  # type: ignore[attr-defined]
            _made[id(found)] = (found, recipe)
            return recipe
    return None
