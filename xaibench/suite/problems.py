"""What is explained: data sets with models, and sets of functions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from xaibench.core.outputs import Output
from xaibench.suite.references import ComponentEntry, Entries, Table, as_entry


class ProblemEntry(Table):
    """A data set and the models that are fitted to it."""

    dataset: Annotated[ComponentEntry, BeforeValidator(as_entry)]
    models: Entries = Field(min_length=1)
    samples: int | None = Field(default=None, ge=1)
    output: Output | None = None


class FunctionsEntry(Table):
    """A set of functions that are interpreted.

    ``samples`` takes the first functions of the set only; ``budget`` is the number of questions to
    each, instead of the suite's.
    """

    functions: Annotated[ComponentEntry, BeforeValidator(as_entry)]
    samples: int | None = Field(default=None, ge=1)
    budget: int | None = Field(default=None, ge=1)


def _kind_of_problem(value: Any) -> str:
    """Which of the two a problem is; what names neither is taken for a data set with something missing."""
    named = value.keys() if isinstance(value, dict) else ("functions",) if isinstance(value, FunctionsEntry) else ()
    return "functions" if "functions" in named and "dataset" not in named else "dataset"


AnyProblem = Annotated[
    Annotated[ProblemEntry, Tag("dataset")] | Annotated[FunctionsEntry, Tag("functions")],
    Discriminator(_kind_of_problem),
]
