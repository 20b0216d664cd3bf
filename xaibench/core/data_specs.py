"""Data sets and recipes of models, as they are declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xaibench.core.components import Component, Kind
from xaibench.core.declarations import check_word, check_words
from xaibench.core.errors import UsageError
from xaibench.core.features import FEATURE_KINDS, FeatureKind
from xaibench.core.needs import NEEDS, PAIRS
from xaibench.core.outputs import GivenReturns


@dataclass(frozen=True)
class DatasetSpec(Component):
    """A dataset; see `dataset`. ``unlabelled`` are parameters that the names of problems do not show."""

    features: FeatureKind = "table"
    provides: frozenset[str] = frozenset()
    unlabelled: frozenset[str] = frozenset()
    kind: Kind = field(default="dataset", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self.called, "features", self.features, FEATURE_KINDS)
        check_words(self.called, "provides", (n for n in self.provides if n.partition(".")[0] not in PAIRS), NEEDS)


@dataclass(frozen=True)
class ModelSpec(Component):
    """A model recipe; see `model`. ``returns`` says what its numbers are, where a suite says it.

    ``fitted`` says that it is a fitted model, read from a file, which cannot be trained again; ``lacking`` why it does
    not meet some needs.
    """

    provides: frozenset[str] | None = None
    features: frozenset[str] | None = None
    returns: GivenReturns | None = None
    fitted: bool = False
    lacking: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = field(default="model", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_words(self.called, "features", self.features or (), FEATURE_KINDS)
        check_words(self.called, "provides", self.provides or (), NEEDS)


def check_features(model: ModelSpec, features: str, name: str = "the data set") -> None:
    """Raise UsageError if the model does not take this kind of data."""
    if model.features is not None and features not in model.features:
        takes = " or ".join(sorted(model.features))
        raise UsageError(f"model {model.name!r} takes {takes} data, and {name!r} is {features}")
