"""What pydantic finds is said in words of the files that people write."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
import pytest
from annotated_types import Ge, Gt, Le, Lt, MinLen

from xaibench.core.errors import UsageError
from xaibench.core.registry import get
from xaibench.core.validation_words import mistake_in_words, place_in_words


@pytest.mark.parametrize(
    ("hint", "value", "said"),
    [
        (Annotated[int, Ge(1)], 0, "must be at least 1, and is 0"),
        (Annotated[float, Gt(0)], -0.5, "must be above 0, and is -0.5"),
        (Annotated[float, Lt(1)], 1.0, "must be below 1, and is 1.0"),
        (Annotated[float, Le(1)], 2.0, "must be at most 1, and is 2.0"),
        (int, "x", "must be a whole number, and is 'x'"),
        (int, 1.5, "must be a whole number, and is 1.5"),
        (float, "x", "must be a number, and is 'x'"),
        (bool, "x", "must be true or false, and is 'x'"),
        (Literal["a", "b"], "c", "must be one of 'a' or 'b', and is 'c'"),
        (list[int], 3, "must be a list, and is 3"),
        (str, 3, "must be text, and is 3"),
        (Annotated[list[int], MinLen(1)], [], "must not be empty"),
        (Annotated[list[int], MinLen(2)], [1], "needs at least 2 entries"),
        (Annotated[str, MinLen(1)], "", "must not be empty, and is ''"),
        (Annotated[str, MinLen(3)], "ab", "must have at least 3 characters, and is 'ab'"),
        (tuple[int, int], (1, 2, 3), "must have at most 2 entries"),
        (tuple[int, int], (1,), "is missing"),
    ],
)
def test_every_kind_of_mistake(hint: Any, value: Any, said: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(hint).validate_python(value)
    assert mistake_in_words(caught.value.errors()[0]) == said


def test_the_place_counts_from_one() -> None:
    assert place_in_words(("claims", 0, "left", "metric")) == "claims, entry 1, left.metric"
    assert place_in_words(()) == ""


def test_parameters_of_components() -> None:
    with pytest.raises(UsageError, match=r"n_samples = 0 is not valid \(must be above 0\)"):
        get("explainer", "lime").bind({"n_samples": 0})
