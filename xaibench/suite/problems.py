"""Problem entries of suite files: data sets with models, and sets of functions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from xaibench.core.outputs import Output
from xaibench.core.targets import check_target
from xaibench.suite.references import ComponentEntry, ModelEntries, Table, as_entry

TargetForm = Annotated[str, AfterValidator(check_target)]
"""What is explained of a sample; see `xaibench.core.targets.choose_targets`."""


class ProblemEntry(Table):
    """A data set and the models that are fitted to it.

    Attributes
    ----------
    dataset : name or table
        The data set, by name, ``module:name`` or ``file.py:name``.
    models : list
        Names or tables of models; each of them makes a problem with the data set.
    samples : int, optional
        Test samples of these problems, instead of the suite's.
    output : {"logit", "probability", "margin", "contrast", "value"}, optional
        The output that is explained, instead of what the model returns.
    target : str, optional
        What is explained of a sample, instead of the suite's ``target``.
    """

    dataset: Annotated[ComponentEntry, BeforeValidator(as_entry)]
    models: ModelEntries = Field(min_length=1)
    samples: int | None = Field(default=None, ge=1)
    output: Output | None = None
    target: TargetForm | None = None


class FunctionsEntry(Table):
    """A set of functions that are interpreted.

    Attributes
    ----------
    functions : name or table
        The set of functions.
    samples : int, optional
        Only this many functions, the first ones of the set.
    budget : int, optional
        Questions to each function, instead of the suite's.
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
