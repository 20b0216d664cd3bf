"""Reference page of suite files: every field, from the models that read them."""

from __future__ import annotations

import re
from typing import Any

import numpydoc
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from xaibench.suite.claims import Claim, ScoreSelection
from xaibench.suite.matrix import CellPattern, Suite
from xaibench.suite.problems import FunctionsEntry, ProblemEntry
from xaibench.suite.references import ComponentEntry, MetricEntry, ModelEntry
from xaibench.suite.regression_settings import Comparing

TABLES: dict[str, type[BaseModel]] = {
    "The suite": Suite,
    "A problem: data set and models": ProblemEntry,
    "A problem: functions": FunctionsEntry,
    "An explainer, interpreter or data set": ComponentEntry,
    "A model": ModelEntry,
    "A metric": MetricEntry,
    "An include or exclude rule": CellPattern,
    "A claim": Claim,
    "A side of a claim": ScoreSelection,
    "Regressions": Comparing,
}
NOT_IN_FILES = frozenset({"folder"})
"""Fields that the reader sets."""
INTRODUCTION = """\
# Suite files

A suite is a TOML file that names problems, explainers and metrics; `xaibench run FILE` runs every combination.
An unknown field is an error that names the closest known one. Files of your own are named from the suite file's folder
(`my_model.py:build`), installed modules as `package.module:name`.
Data, fitted models and explanations in files are named as `{ file = "loans.csv", params = { target = "default" } }`;
[files](../how-to/files.md) lists their parameters.

```toml
description = "Can my model be explained?"
samples = 32
explainers = ["kernel_shap", { name = "lime", params = { n_samples = 256 } }]
metrics = [{ name = "pixel_flipping", grid = { masker = ["mean", "marginal"] } }]

[[problems]]
dataset = "breast_cancer"
models = [{ name = "my_model.py:build", returns = "logit" }, "random_forest"]

[[exclude]]
explainer = "lime"
model = "random_forest"
```

Seeds: `problem_seeds` are those of data and training, `seeds` those of explaining and scoring. Only several
`problem_seeds` give intervals over retrained models.
"""
_SIMPLE = [
    (r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1"),
    (r"typing\.|xaibench\.[\w.]+\.", ""),
    (r"Literal\[([^\]]*)\]", r"one of \1"),
    (r"Annotated\[(\w+), [^\]]*\)\]", r"\1"),
    (r"dict\[str, float.*", "table of str to number"),
    (r"dict\[.*", "table"),
    (r"(\w+) \| None", r"\1"),
    (r"Optional\[(.*)\]", r"\1"),
]


def pages() -> dict[str, str]:
    """Markdown by path below the documentation's folder."""
    parts = [INTRODUCTION, *(_section(title, model) for title, model in TABLES.items())]
    return {"reference/suite-files.md": "\n\n".join(parts) + "\n"}


def descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What docstrings say of a model's fields, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel):
            found |= numpydoc.parse(base.__doc__).described("Attributes")
    return found


def fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields that a file may hold."""
    return {name: f for name, f in model.model_fields.items() if name not in NOT_IN_FILES}


def _section(title: str, model: type[BaseModel]) -> str:
    described = descriptions(model)
    rows: list[list[object]] = [
        [f"`{name}`", _type(name, f), _default(name, f), described[name]] for name, f in fields(model).items()
    ]
    return "\n\n".join(
        [f"## {title}", numpydoc.parse(model.__doc__).text, numpydoc.table(["field", "type", "default", ""], rows)]
    )


TYPES = {
    "problems": "list of tables",
    "explainers": "list of names or tables",
    "interpreters": "list of names or tables",
    "metrics": "list of names or tables",
    "models": "list of names or tables",
    "include": "list of tables",
    "exclude": "list of tables",
    "claims": "list of tables",
    "parts": "list of names or paths",
    "dataset": "name or table",
    "functions": "name or table",
    "seeds": "list of int",
    "problem_seeds": "list of int",
    "compare": "table",
}
"""What people write, where that is shorter than the type."""


def _type(name: str, info: FieldInfo) -> str:
    text = str(info.annotation)
    if name in TYPES and "list[str]" not in text:
        return TYPES[name]
    for pattern, by in _SIMPLE:
        text = re.sub(pattern, by, text)
    return {"list[str]": "glob or list of globs", "float": "number"}.get(text, text)


def _default(name: str, info: FieldInfo) -> str:
    value: Any = info.get_default(call_default_factory=True)
    if name == "name" and value is PydanticUndefined:
        return "required (a suite: the file's name)"
    if value is PydanticUndefined:
        return "required"
    if value is None or value in ({}, []) or isinstance(value, BaseModel):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else repr(value)}`"
