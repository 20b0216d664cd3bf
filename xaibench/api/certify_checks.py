"""What is looked at before any copy is fitted: the plant, its column and parameters, explainers, and a second fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from xaibench import suite as suites
from xaibench.api.certify_request import PLANTS, CertifyRequest
from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import UsageError
from xaibench.core.outputs import has_classes
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.certify.image_plants import image_plant
from xaibench.datasets.certify.series_plants import bump_plant
from xaibench.datasets.certify.table_plants import category, overwritten
from xaibench.datasets.certify.text_plants import token_plant
from xaibench.models.first_look import look_at_data
from xaibench.models.obtain import obtain
from xaibench.models.text_adapters import predictor_for

OF_COLUMN = ("overwrite", "category")
"""Plants that stand in a column that the data have."""
ROUNDING_OF_FITS = 1e-4
"""Outputs of two fits that differ by at most this share of the largest are the same but for rounding."""


def chosen_plant(request: CertifyRequest, data: Data) -> str:
    """The plant that is asked for, else the first one for data of this kind.

    Raises
    ------
    UsageError
        If there is none for these data, or the one that is asked for is for others, or has no use for a column.
    """
    if data.features not in PLANTS:
        known = ["text" if kind == "tokens" else kind for kind in PLANTS]
        raise UsageError(f"certify has no plant for {data.features} data", f"it takes {', '.join(known)} data")
    if data.features == "tokens" and not data.has_ids:
        raise UsageError("certify plants words, and these texts are not token ids", "give Data(tokens=...) with ids")
    possible = PLANTS[data.features]
    plant = request.plant or possible[0]
    if plant not in possible:
        raise UsageError(f"the plant {plant} is not for {data.features} data", f"possible: {', '.join(possible)}")
    if request.column and plant not in OF_COLUMN:
        hint = f"take --plant {' or '.join(OF_COLUMN)}" if data.features == "table" else "leave the column out"
        raise UsageError(f"the plant {plant} does not stand in a column {request.column!r} of the data", hint)
    return plant


def check_plant(plant: str, column: str, params: Mapping[str, Any], data: Data) -> None:
    """Make the plant once, so that a column or a size that does not go with the data is said at once.

    Raises
    ------
    UsageError
        If it cannot be planted.
    """
    if plant in OF_COLUMN:
        (overwritten if plant == "overwrite" else category)(data, column)
    elif data.features == "image":
        image_plant(data, plant, side=params.get("side", 0), contrast=params.get("contrast", 0.0))  # type: ignore[arg-type]
    elif data.features == "series":
        defaults = {"steps": 0, "height": 3.0, "sensor": 0}
        bump_plant(data, **{**defaults, **{k: v for k, v in params.items() if k in defaults}})
    elif data.features == "tokens":
        token_plant(data, params.get("words", ()))


def check_suite(suite: Mapping[str, Any]) -> None:
    """Resolve every name and parameter of the suite that will be run.

    Raises
    ------
    UsageError
        If an explainer, or a parameter of it or of the plant, is unknown or out of range.
    """
    suites.parse(dict(suite))


def differing_share(
    spec: ModelSpec, params: Mapping[str, Any], data: Data, fitted: Predictor, rows: Array, given: str | None
) -> float:
    """Fit a recipe of the user once more, and compare: is it deterministic?

    Returns
    -------
    float
        Share of the test rows (numbers (N,) of them) that a second fit with the same seed decides otherwise; of values
        and where no decision differs, that answers with other numbers. 0 of xaibench's own recipes, which are
        deterministic and not fitted again.
    """
    if spec.code_digest is None:
        return 0.0
    second = obtain(spec, params, data, seed=0, cache=None)
    again = look_at_data(predictor_for(second.model, data, returns=given), data, given=given)
    a, b = (predict_raw(model, data.test_inputs[rows]).cpu().numpy().astype(np.float64) for model in (fitted, again))
    other = np.abs(a - b).max(axis=1) > ROUNDING_OF_FITS * max(float(np.abs(a).max()), 1e-12)
    decided = a.argmax(axis=1) != b.argmax(axis=1) if has_classes(fitted.returns) else other
    return float((decided if decided.any() else other).mean())


def notes_on_determinism(share: float, copies: int) -> list[str]:
    """What follows for the tests where two fits differ, as sentences."""
    if share == 0:
        return []
    said = f"two fits of this recipe with one seed differ in {100 * share:.0f} % of the test rows"
    if copies == 1:
        return [f"{said}: with a single copy there is no test, and nothing is ranked; take --copies 3 or more"]
    return [f"{said}: copies are the unit of every test"]
