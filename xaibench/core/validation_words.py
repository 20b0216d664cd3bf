"""What pydantic finds wrong with a value, in plain words and with the place as people count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BY_TYPE = {
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "too_short": "must not be empty",
    "model_type": "must be a name, or a table with a name",
    "model_attributes_type": "must be a name, or a table with a name",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "missing": "is missing",
    "too_long": "must have at most {max_length} entries",
    "string_too_short": "must not be empty",
}
_LONGEST = 40
"""Characters of a value that is shown."""


def mistake_in_words(error: Mapping[str, Any], *, value: bool = True) -> str:
    """An entry of ``ValidationError.errors()`` as the end of a sentence, with the value where it is short.

    Parameters
    ----------
    error : mapping
    value : bool
        Whether to name the value.

    Examples
    --------
    >>> import pydantic
    >>> from typing import Annotated
    >>> from annotated_types import Ge
    >>> try:
    ...     pydantic.TypeAdapter(list[Annotated[int, Ge(1)]]).validate_python([5, 0])
    ... except pydantic.ValidationError as error:
    ...     found = error.errors()[0]
    >>> mistake_in_words(found)
    'must be at least 1, and is 0'
    >>> place_in_words(found["loc"])
    'entry 2'
    """
    known = _BY_TYPE.get(error["type"])
    if error.get("ctx", {}).get("min_length", 1) > 1:
        known = {
            "too_short": "needs at least {min_length} entries",
            "string_too_short": "must have at least {min_length} characters",
        }.get(error["type"], known)
    if known is not None:
        said = known.format_map({name: _plain(limit) for name, limit in error.get("ctx", {}).items()})
    else:
        said = str(error["msg"]).removeprefix("Value error, ")
        if said.startswith("Input should "):
            said = f"must {said.removeprefix('Input should ')}"
    given = error.get("input")
    plain = given is None or isinstance(given, (bool, int, float, str))
    if not value or not plain or "input" not in error or len(repr(given)) > _LONGEST or not said.startswith("must "):
        return said
    return f"{said}, and is {given!r}"


def _plain(limit: Any) -> Any:
    """A whole number without its decimal point."""
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def place_in_words(loc: Sequence[int | str]) -> str:
    """Where something is: names joined by dots, numbers in lists counted from 1.

    Examples
    --------
    >>> place_in_words(("problems", 0, "samples"))
    'problems, entry 1, samples'
    >>> place_in_words(("left", "metric"))
    'left.metric'
    """
    words = ""
    for at, part in enumerate(loc):
        if isinstance(part, int):
            words += f"{', ' if words else ''}entry {part + 1}"
        else:
            words += f"{'' if not words else ', ' if isinstance(loc[at - 1], int) else '.'}{part}"
    return words
