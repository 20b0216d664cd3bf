"""The suite behind a certificate: the original is fitted and measured, then copies at several levels are planned."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from xaibench.api.arguments import failures_as_usage_errors
from xaibench.api.certify_checks import (
    check_plant,
    check_suite,
    chosen_plant,
    differing_share,
    notes_on_determinism,
)
from xaibench.api.certify_explainers import default_explainers
from xaibench.api.certify_request import PLANTS, CertifyRequest
from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec, check_features
from xaibench.core.errors import UsageError
from xaibench.core.keys import digest
from xaibench.core.loading import is_component_file
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.types import Array
from xaibench.datasets.certify.base import LEAST_SHARE, chosen_classes, load_base
from xaibench.datasets.certify.check import Original, measure_original
from xaibench.datasets.certify.planting import usable_rows
from xaibench.datasets.certify.table_plants import (
    category,
    category_features,
    names_of_features,
    quantity_features,
    rarest_category,
)
from xaibench.models.first_look import look_at_data
from xaibench.models.obtain import obtain
from xaibench.models.text_adapters import predictor_for
from xaibench.suite.references import ComponentRef

BACKGROUND = 200
GATE_ROWS = {"table": 400, "image": 250, "series": 250, "tokens": 250}
"""Test rows that gates are measured on, at most."""
FEW_ROWS = 50
DATA_SETS = {kind: f"certify_{'text' if kind == 'tokens' else kind}" for kind in PLANTS}
"""The data set that plants into data of a kind."""


@dataclass(frozen=True)
class PreparedCertificate:
    """What is known before any copy is fitted.

    Attributes
    ----------
    request : CertifyRequest
    plant : str
    column : str
        Column that is planted in, empty where the plant has columns of its own.
    data : Data
        Without plant.
    classes : tuple of str
        Names of the classes of versions A and B.
    original : Original
    original_fingerprint : str
    fit_seconds : float
        That fitting the original took.
    suite : dict
        The generated suite.
    notes : tuple of str
        What the user should know, as sentences.
    deterministic : bool
        Whether a second fit of the original gave the same outputs.
    """

    request: CertifyRequest
    plant: str
    column: str
    data: Data
    classes: tuple[str, str]
    original: Original
    original_fingerprint: str
    fit_seconds: float
    suite: dict[str, Any]
    notes: tuple[str, ...] = ()
    deterministic: bool = True

    @property
    def n_fits(self) -> int:
        """Copies that are fitted."""
        return self.request.copies * len(self.request.all_levels)

    @property
    def key(self) -> str:
        """Short digest of what is certified."""
        parts = ("problems", "explainers", "metrics", "problem_seeds", "samples")
        return digest(*(self.suite[name] for name in parts), size=4)


def prepare(request: CertifyRequest, *, folder: Path | None = None, cache: Path | None = None) -> PreparedCertificate:
    """Load the data, fit and measure the original, choose plant and column, and write the suite.

    Raises
    ------
    UsageError
        If the model cannot be trained, or the plant does not go with the data.
    """
    model = model_reference(request, folder)
    params = data_params(request)
    data = load_base(request.data, params, seed=0, folder=folder)
    plant, column = chosen_plant(request, data), request.column
    spec = cast(ModelSpec, model.spec)
    check_features(spec, data.features, request.data)
    regression = data.train_values is not None
    pair = (0, 0) if regression else chosen_classes(data, request.classes)
    check_suite(_suite(request, data, plant, column, params, None, frozenset()))
    check_plant(plant, column, request.plant_params, data)
    started = time.perf_counter()
    with failures_as_usage_errors(f"the recipe {request.model} cannot be fitted to {request.data}"):
        fitted = obtain(spec, model.params, data, seed=0, cache=cache)
    seconds = fitted.train_seconds if fitted.from_cache else time.perf_counter() - started
    given = request.returns or spec.returns or fitted.returns
    predictor = look_at_data(predictor_for(fitted.model, data, returns=given), data, given=given)
    if plant == "overwrite" and not column:
        column = least_used_column(predictor, data, quantity_features(data))
    if plant == "category" and not column:
        column = least_meaningful_category(predictor, data)
    rows = np.arange(min(GATE_ROWS[data.features], len(data.test_inputs)))
    if plant == "category":
        rows = usable_rows(category(data, column), data.test_inputs, GATE_ROWS[data.features])
    original = measure_original(predictor, data, pair, rows)
    names = data.class_names or tuple(str(i) for i in range(data.n_classes))
    chosen = ("higher", "lower") if regression else (names[pair[0]], names[pair[1]])
    suite = _suite(request, data, plant, column, params, original, predictor.provides)
    other = differing_share(spec, model.params, data, predictor, rows, given)
    notes = (*_notes(data, pair, regression=regression), *notes_on_determinism(other, request.copies))
    return PreparedCertificate(
        request, plant, column, data, chosen, original, fitted.fingerprint, seconds, suite, notes, other == 0
    )


def model_reference(request: CertifyRequest, folder: Path | None) -> ComponentRef:
    """The recipe, checked: copies of it can be trained.

    Raises
    ------
    UsageError
        If it is a fitted model, or unknown.
    """
    refusal = UsageError(
        f"{request.model} is a fitted model and cannot be certified: a copy must be trained",
        "give a recipe: a function file.py:build that fits, an unfitted pipeline, or a torch network to train on",
    )
    if ":" not in Path(request.model).name and (
        is_component_file("model", request.model)
        or Path(request.model).suffix in (".onnx", ".pkl", ".joblib", ".skops")
    ):
        raise refusal
    params = {**request.model_params, **request.fine_tune}
    model = ComponentRef.of("model", request.model, params, folder)
    if cast(ModelSpec, model.spec).fitted:
        raise refusal
    return model


def data_params(request: CertifyRequest) -> dict[str, Any]:
    """Parameters of the data set; a file of a table needs its target."""
    found = dict(request.data_params)
    if request.target:
        found["target"] = request.target
    table = is_component_file("dataset", request.data) and Path(request.data).suffix.lower() != ".npz"
    if table and "target" not in found:
        raise UsageError(f"{request.data} does not say what is predicted", "name the column with --target COLUMN")
    return found


def least_used_column(model: Predictor, data: Data, possible: list[int]) -> str:
    """The column whose permutation over the test rows changes the original's output least."""
    rows = data.test_inputs[:200]
    clean = predict_raw(model, rows).cpu().numpy().astype(np.float64)
    order = np.random.default_rng(0).permutation(len(rows))

    def change(feature: int) -> float:
        columns = list(data.layout.columns[feature])
        mixed: Array = rows.copy()
        mixed[:, columns] = rows[order][:, columns]
        return float(np.abs(predict_raw(model, mixed).cpu().numpy() - clean).mean())

    if not possible:
        return ""
    return names_of_features(data)[min(possible, key=lambda feature: (change(feature), feature))]


def least_meaningful_category(model: Predictor, data: Data) -> str:
    """The category whose two planted values the original distinguishes least; of equal ones that with the rarest."""
    names = names_of_features(data)
    found: list[tuple[float, float, str]] = []
    for feature in category_features(data):
        plant = category(data, names[feature])
        natural = plant.natural(data.test_inputs)
        rows = data.test_inputs[~natural][:200]
        if len(rows) < FEW_ROWS:
            continue
        still = np.zeros((len(rows), plant.n_draws))
        a, b = (predict_raw(model, plant.put(rows, np.full(len(rows), side), still)).cpu().numpy() for side in (1, -1))
        changed = a.argmax(axis=1) != b.argmax(axis=1) if a.shape[1] > 1 else np.abs(a - b)[:, 0]
        found.append((float(changed.mean()), float(natural.mean()), names[feature]))
    return min(found)[2] if found else rarest_category(data, category_features(data))


def _suite(
    request: CertifyRequest,
    data: Data,
    plant: str,
    column: str,
    params: Mapping[str, Any],
    original: Original | None,
    provides: frozenset[str],
) -> dict[str, Any]:
    planted: dict[str, Any] = {"data": request.data, "plant": plant}
    planted |= {} if original is None else {"original": original.numbers}
    optional: dict[str, Any] = {
        "data_params": dict(params), "column": column, "classes": list(request.classes), **request.plant_params,
    }  # fmt: skip
    planted |= {name: value for name, value in optional.items() if value}
    planted |= {} if request.share == 0.5 else {"share": request.share}
    planted |= {} if request.protocol == "carriers" else {"protocol": request.protocol}
    found = {"rows": "all", "k": request.k} if request.k != 1 else {"rows": "all"}
    tuned = {**request.model_params, **request.fine_tune}
    model: Any = {"name": request.model, "params": tuned} if tuned or request.returns else request.model
    if request.returns:
        model["returns"] = request.returns
    return {
        "name": f"certify-{_plain(request.model)}-{_plain(request.data)}-{plant}",
        "description": f"From which reliance on would an explanation show that {request.model} cheats?",
        "samples": request.rows,
        "background": BACKGROUND,
        "random_draws": 1,
        "problem_seeds": [request.seed * request.copies + i for i in range(request.copies)],
        "explainers": list(request.explainers) or default_explainers(data, provides),
        "metrics": [
            {"name": "shortcut_found", "params": {**found, "rows": "decisive"}},
            {"name": "shortcut_found", "params": found},
            "shortcut_rank",
        ],
        "problems": [
            {
                "dataset": {
                    "name": DATA_SETS[data.features],
                    "params": planted,
                    "grid": {"level": request.all_levels},
                },
                "models": [model],
            }
        ],
    }


def _plain(name: str) -> str:
    """A name for a file: letters, digits and what joins them."""
    text = Path(name.rpartition(":")[2] or name).stem if ":" in name else Path(name).stem
    return "".join(c if c.isalnum() or c in "_." else "_" for c in text) or "unnamed"


def _notes(data: Data, pair: tuple[int, int], *, regression: bool) -> list[str]:
    """What the data are too few for."""
    found = []
    if len(data.test_inputs) < FEW_ROWS:
        found.append(f"only {len(data.test_inputs)} test rows: intervals are shown, and no order")
    if not regression:
        shares = np.bincount(data.train_targets, minlength=data.n_classes) / len(data.train_targets)
        rare = [data.class_names[c] for c in pair if shares[c] < LEAST_SHARE] if data.class_names else []
        if rare:
            found.append(f"class {rare[0]!r} has less than 5 % of the training rows")
    return found
