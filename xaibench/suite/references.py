"""References to components in suite files: by name, with parameters, or with several values of some."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from xaibench.core import registry
from xaibench.core.component_files import file_reference, is_file_reference
from xaibench.core.components import Component, ExplainerSpec, Kind
from xaibench.core.data_specs import DatasetSpec
from xaibench.core.default_maskers import without_useless_defaults
from xaibench.core.keys import canonical_json
from xaibench.core.known_names import without_aliases
from xaibench.core.outputs import GivenReturns, Output
from xaibench.core.program_specs import InterpreterSpec


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Globs = Annotated[list[str], BeforeValidator(_as_list)]
"""Patterns of names; a single one may stand without brackets."""


def _as_shown(value: list[str]) -> list[str]:
    return [without_aliases(name) for name in value]


ExplainerGlobs = Annotated[Globs, AfterValidator(_as_shown)]
"""Patterns of names of explainers, of which any name may be given."""


class Table(BaseModel):
    """A table of a suite file: no field but those that are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class ComponentRef:
    """A component with checked parameters, as plain data that any process can resolve.

    Two choices are equal if they mean the same, however the parameters were given.
    """

    kind: Kind
    ref: str
    given: str = field(compare=False)
    bound: str
    folder: Path | None = None

    @classmethod
    def of(cls, kind: Kind, ref: str, params: dict[str, Any], folder: Path | None = None) -> ComponentRef:
        """Resolve a reference and check its parameters.

        Raises
        ------
        UsageError
            If there is no such component, or it has no such parameter.
        """
        spec = registry.get(kind, ref, folder=folder)
        if isinstance(spec, ExplainerSpec) and ref in spec.aliases:
            ref = spec.name
        return cls(kind, ref, canonical_json(params), canonical_json(spec.bind(params)), folder)

    def with_default_masker(self, masker: str | None) -> ComponentRef:
        """The choice with this masker in the place of a default that the data have no use for."""
        if masker is None:
            return self
        other = without_useless_defaults(self.spec, json.loads(self.given), masker)
        return replace(self, bound=canonical_json({**self.params, **other})) if other else self

    @property
    def spec(self) -> Component:
        params = json.loads(self.bound) if is_file_reference(self.ref) else None
        return registry.get(self.kind, self.ref, folder=self.folder, check=False, params=params)

    @cached_property
    def params(self) -> dict[str, Any]:
        """All parameters, defaults included."""
        return self.spec.bind(json.loads(self.bound))

    @property
    def label(self) -> str:
        """Name for people: with the parameters that were given, if any."""
        given, spec = json.loads(self.given), self.spec
        hidden = spec.unlabelled if isinstance(spec, DatasetSpec) else frozenset()
        inside = ",".join(f"{k}={v}" for k, v in sorted(given.items()) if k not in hidden)
        return f"{spec.name}({inside})" if inside else spec.name

    @property
    def keyed(self) -> str:
        """The parameters that decide what comes out, as JSON: all but those that the component calls unkeyed."""
        spec = self.spec
        unkeyed = spec.unkeyed if isinstance(spec, InterpreterSpec) else frozenset()
        if not (unkeyed or spec.unkeyed_defaults):
            return self.bound
        return canonical_json({k: v for k, v in spec.keyed(json.loads(self.bound)).items() if k not in unkeyed})

    @property
    def identity(self) -> list[Any]:
        return [self.spec.name, self.keyed]


def as_entry(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class ComponentEntry(Table):
    """A component by name, ``module:name`` or ``file.py:name``, or a file of data, with parameters.

    Attributes
    ----------
    name : str
        A registered name, ``package.module:name`` or ``path/to/file.py:name``; of a file, what it is called in results.
    file : str, optional
        A data set (CSV, TSV, Parquet, Feather, npz, a folder of images), a fitted model (ONNX, pt2, TorchScript,
        safetensors, pth, skops, joblib) or explanations (npz, Parquet), from the suite's folder.
    params : dict
        Values of parameters.
    grid : dict
        Several values of a parameter each; every combination becomes an entry of its own.
    """

    name: str = ""
    file: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_named(self) -> Self:
        if not self.name and not self.file:
            raise ValueError("needs a name, or a file")
        return self

    @property
    def ref(self) -> str:
        """What the registry finds it by."""
        return self.name if self.file is None else file_reference(self.file, self.name)

    def choices(self, kind: Kind, folder: Path | None) -> Iterator[ComponentRef]:
        """Every combination of the grid, with checked parameters."""
        names = list(self.grid)
        for values in itertools.product(*self.grid.values()):
            chosen = dict(zip(names, values, strict=True))
            found = ComponentRef.of(kind, self.ref, {**self.params, **chosen}, folder)
            # What a file needs to be read at all says nothing about it: only values of the grid are shown.
            yield found if self.file is None else replace(found, given=canonical_json(chosen))


class ModelEntry(ComponentEntry):
    """A model, as a name or a table.

    Attributes
    ----------
    returns : str, optional
        What the model's numbers are: ``logit`` or ``probability`` of classes that exclude each other,
        ``multilabel_logit`` or ``multilabel_probability`` of independent labels, ``binary_logit`` or
        ``binary_probability`` of class 1 in a single column, ``value``. By default a first look at its outputs decides.
    output : {"logit", "probability", "margin", "contrast", "value"}, optional
        The output that is explained, instead of the problem's or what the model returns.
    batch_size : int, optional
        Samples that are evaluated at once, instead of the number that the rule finds; not part of any key.
    """

    returns: GivenReturns | None = None
    output: Output | None = None
    batch_size: int | None = Field(default=None, ge=1)


class MetricEntry(ComponentEntry):
    """A metric, as a name or a table.

    Attributes
    ----------
    output : {"logit", "probability", "margin", "contrast", "value"}, optional
        Measures another output than the metric's own rule says.
    """

    output: Output | None = None


Entries = list[Annotated[ComponentEntry, BeforeValidator(as_entry)]]
ModelEntries = list[Annotated[ModelEntry, BeforeValidator(as_entry)]]
MetricEntries = list[Annotated[MetricEntry, BeforeValidator(as_entry)]]
