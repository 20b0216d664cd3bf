"""What is to be certified: the recipe, the data, the plant, how many copies; from arguments or from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import annotated_types
import pydantic
from pydantic import BaseModel, ConfigDict, Field

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.storage.paths import local_path
from xaibench.core.validation_words import mistake_in_words, place_in_words

CertifiedLevel = Annotated[float, annotated_types.Ge(0), annotated_types.Le(1)]
PLANTS = {
    "table": ("new", "overwrite", "category", "pair"),
    "image": ("patch", "texture", "tint"),
    "series": ("bump",),
    "tokens": ("token",),
}
"""Plants by kind of data, the default first."""
DEFAULT_LEVELS = (0.0, 0.3, 0.6, 1.0)


class CertifyRequest(BaseModel):
    """A certificate that is asked for.

    Attributes
    ----------
    model : str
        The recipe: a registered model, ``file.py:build`` (a function of the data that returns a fitted model),
        ``file.py:pipeline`` (an unfitted estimator), or ``file.py:net`` (a network that is trained on).
    data : str
        A data set by name, ``file.py:name``, or a file or folder that is one.
    target : str
        Column of a table that is predicted.
    data_params, model_params : dict
        Parameters of the data set and of the recipe.
    fine_tune : dict
        How a network is trained on; see the model `fine_tuned`.
    returns : str, optional
        What the model's numbers are, as in suites.
    plant : str
        By default the first of `PLANTS` for this kind of data.
    plant_params : dict
        Other parameters of the plant, such as ``side`` and ``contrast`` of a patch.
    column : str
        Column that is overwritten.
    classes : tuple of str
        Classes of versions A and B; by default the two most frequent ones.
    levels : tuple of float
        How strongly labels follow the plant. 0 (the null twin) and 1 are always there.
    copies : int
        Copies per level.
    share : float
        Share of the training rows that carry the plant.
    protocol : {"carriers", "agree"}
    explainers : tuple
        Names or tables with parameters, as in suites; by default those that apply.
    rows : int
        Test rows that are explained on every copy.
    k : int
        The plant is found among the k largest units.
    seed : int
        Another one draws other carriers, and fits with other seeds; the test rows and their plants stay.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data: str
    target: str = ""
    data_params: dict[str, Any] = Field(default_factory=dict)
    model_params: dict[str, Any] = Field(default_factory=dict)
    fine_tune: dict[str, Any] = Field(default_factory=dict)
    returns: str | None = None
    plant: str = ""
    plant_params: dict[str, Any] = Field(default_factory=dict)
    column: str = ""
    classes: tuple[str, ...] = ()
    levels: tuple[CertifiedLevel, ...] = DEFAULT_LEVELS
    copies: int = Field(default=3, ge=1, le=50)
    share: float = Field(default=0.5, gt=0, lt=1)
    protocol: Literal["carriers", "agree"] = "carriers"
    explainers: tuple[str | dict[str, Any], ...] = ()
    rows: int = Field(default=100, ge=10)
    k: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=10**6)

    @pydantic.model_validator(mode="after")
    def _is_one_plant(self) -> Self:
        known = [name for names in PLANTS.values() for name in names]
        if self.plant and self.plant not in known:
            raise ValueError(f"there is no plant {self.plant!r}; known: {', '.join(known)}")
        return self

    @property
    def all_levels(self) -> list[float]:
        """The levels with 0 and 1, rising."""
        return sorted({0.0, 1.0, *map(float, self.levels)})


def read_request(given: Mapping[str, Any], file: str | Path | None = None) -> CertifyRequest:
    """A request of arguments, and of a TOML file where there is one; arguments win.

    Raises
    ------
    UsageError
        If the file cannot be read, or something is missing, unknown or out of range.
    """
    named = {} if file is None else _document(local_path(file))
    merged = {**named, **{name: value for name, value in given.items() if value is not None}}
    source = "certify" if file is None else str(file)
    for name, what in (("model", "a recipe, say my_model.py:build"), ("data", "data: --data FILE or a name")):
        if not merged.get(name):
            raise UsageError(
                f"certify needs {what}", "xaibench certify my_model.py:build --data loans.csv --target default"
            )
    try:
        return CertifyRequest.model_validate(merged)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = place_in_words(first["loc"])
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(where, CertifyRequest.model_fields)
            raise UsageError(f"{source}: unknown field {where!r}", hint) from error
        said = mistake_in_words(first)
        raise UsageError(f"{source}: {where}: {said}" if where else f"{source}: {said}") from error


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
