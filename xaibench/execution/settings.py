"""Settings of executors, given as text: a pydantic model for each executor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from xaibench.core.errors import UsageError, did_you_mean


def _whole_number(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise PydanticCustomError("count", "not a whole number above 0")
    return int(text)


def _pairs(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return {key.strip(): value for key, _, value in pairs}


Count = Annotated[int, BeforeValidator(_whole_number)]
"""A whole number above 0."""
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number of 0 or more."""
Amounts = Annotated[dict[str, Amount], BeforeValidator(_pairs)]
"""Names with numbers, ``GPU=1,MEMORY=8e9``."""


class ExecutorSettings(BaseModel):
    """What an executor is told besides the options; one that takes settings names them as fields of a subclass.

    Examples
    --------
    >>> class Mine(ExecutorSettings):
    ...     units: Count | None = None
    ...     resources: Amounts = Field(default_factory=dict)
    >>> Mine.read("mine", {"units": "4", "resources": "GPU=1,MEMORY=8e9"})
    Mine(units=4, resources={'GPU': 1.0, 'MEMORY': 8000000000.0})
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, executor: str, given: Mapping[str, str]) -> Self:
        """The settings of an executor.

        Raises
        ------
        UsageError
            If a setting is given that the executor does not take, or a value that the setting cannot have.
        """
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            raise cls._mistake(executor, error.errors()[0]) from None

    @classmethod
    def _mistake(cls, executor: str, error: Mapping[str, Any]) -> UsageError:
        name, value = error["loc"][0], error["input"]
        if error["type"] == "extra_forbidden":
            known = cls.model_fields
            hint = did_you_mean(name, known) if known else "name another one with --executor"
            return UsageError(f"executor {executor} has no setting {name!r}", hint)
        if error["type"] == "count":
            return UsageError(f"{name}={value} of executor {executor} must be a whole number above 0")
        return UsageError(f"{value!r} in {name} of executor {executor} is not a number of 0 or more")
