"""Obtaining a fitted model: from the cache, or by training or building it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import sklearn
import torch
from torch import Tensor, nn

from xaibench.core.data import Data
from xaibench.core.data_specs import ModelSpec
from xaibench.core.errors import DataError, UsageError
from xaibench.core.keys import KEY_VERSION, digest
from xaibench.core.outputs import Returns
from xaibench.core.predictor import Predictor
from xaibench.core.raw_inputs import predict_raw
from xaibench.core.storage.files import load_tensors_and_metadata, save_tensors, write_json
from xaibench.core.storage.locks import file_lock
from xaibench.models.adapters import fingerprint
from xaibench.models.first_look import check_finite_outputs, look_at_data
from xaibench.models.held_out import expected_columns, held_out_score
from xaibench.models.one_hot import build_one_hot
from xaibench.models.text_adapters import predictor_for
from xaibench.models.training import Progress, Weights, known_weights


@dataclass(frozen=True)
class ModelRecord:
    """What is known about a fitted model without having it.

    Attributes
    ----------
    fingerprint : str
        Digest of the weights, or of a black box's outputs on the test inputs.
    accuracy : float
        On the test split; of a regression model R2, of labels that may be true together F1.
    returns : {"logit", "multilabel_logit", "probability", "multilabel_probability", "value"}
    provides : frozenset of str
        Needs that the model meets, such as ``gradients``.
    train_seconds : float
        Time that building and training took.
    """

    fingerprint: str
    accuracy: float
    returns: Returns
    provides: frozenset[str]
    train_seconds: float

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "provides": sorted(self.provides)}

    @staticmethod
    def from_json(text: str) -> ModelRecord:
        fields = json.loads(text)
        return ModelRecord(**{**fields, "provides": frozenset(fields["provides"])})


@dataclass(frozen=True)
class FittedModel(ModelRecord):
    """A fitted model, as its recipe gave it, on the CPU or wherever the user's code put it."""

    model: Any
    from_cache: bool


def lookup(spec: ModelSpec, params: Mapping[str, Any], data: Data, *, seed: int, cache: Path) -> ModelRecord | None:
    """What the cache knows about a model; nothing is built or trained. None if it knows nothing."""
    found = _load(spec, params, data, seed, cache)
    return None if found is None else found[0]


def cached_file(spec: ModelSpec, params: Mapping[str, Any], data: Data, *, seed: int, cache: Path) -> Path | None:
    """The file in which the cache has a model, None if it has none."""
    paths = (_path(spec, params, data, seed, cache, suffix) for suffix in (".safetensors", ".json"))
    return next((path for path in paths if path.is_file()), None) if spec.registered else None


def obtain(
    spec: ModelSpec,
    params: Mapping[str, Any],
    data: Data,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    progress: Progress | None = None,
) -> FittedModel:
    """Build a model, with weights from the cache where they are known, and measure it on the test split.

    Modules are cached as safetensors under ``<cache>/models``. Black boxes are fitted again (their
    recipes are deterministic) and only what is known about them is cached, as JSON. Functions that
    are not registered recipes carry no version, so they are called every time and nothing is cached.
    Of several processes that want the same model one trains it, and the others wait.

    Parameters
    ----------
    spec : ModelSpec
    params : mapping
        Bound parameters (see `Component.bind`).
    data : Data
    seed : int
        Given to the recipe if it takes one.
    device : torch.device or str
        Where the model is measured. Training is on the CPU, so that weights do not depend on it.
    cache : Path, optional
    progress : callable, optional
        Given to the recipe if it takes one.

    Raises
    ------
    UsageError
        If the recipe returns something that is not a model, or not of these classes.
    """
    if cache is None or not spec.registered:
        return _obtained(spec, params, data, seed, device, None, progress)
    if lookup(spec, params, data, seed=seed, cache=cache) is not None:
        return _obtained(spec, params, data, seed, device, cache, progress)
    with file_lock(cache / "locks" / _path(spec, params, data, seed, cache, ".lock").name):
        return _obtained(spec, params, data, seed, device, cache, progress)


def _obtained(
    spec: ModelSpec,
    params: Mapping[str, Any],
    data: Data,
    seed: int,
    device: torch.device | str,
    cache: Path | None,
    progress: Progress | None,
) -> FittedModel:
    found = None if cache is None else _load(spec, params, data, seed, cache)
    known = Weights(found[1]) if found is not None and found[1] else None
    started = time.perf_counter()
    with known_weights(known):
        model = _build(spec, params, data, seed, progress)
    if known is not None and found is not None:
        if known.used and _content(model, data) == found[0].fingerprint:
            return FittedModel(**vars(found[0]), model=model, from_cache=True)
        if known.used:
            model = _build(spec, params, data, seed, progress)
    seconds = time.perf_counter() - started
    record = _measure(spec, model, data, device, seconds)
    if cache is not None and (found is None or found[0].fingerprint != record.fingerprint):
        _save(spec, params, data, seed, cache, record, model)
    return FittedModel(**vars(record), model=model, from_cache=False)


def _content(model: Any, data: Data) -> str:
    """Digest of a module, as it is measured."""
    wrapped = data.has_ids or data.codec is not None
    return fingerprint(predictor_for(model, data) if wrapped else model, data.test_inputs, data.test_context)


def _build(spec: ModelSpec, params: Mapping[str, Any], data: Data, seed: int, progress: Progress | None) -> Any:
    extra = {name: value for name, value in (("seed", seed), ("progress", progress)) if spec.takes(name)}
    if spec.code_digest is None and data.codec is not None and data.codec.categorical:
        return build_one_hot(data, lambda numbers: spec.function(numbers, **params, **extra), spec.name)
    return spec.function(data, **params, **extra)


def _measure(spec: ModelSpec, model: Any, data: Data, device: torch.device | str, seconds: float) -> ModelRecord:
    regression = data.test_values is not None
    try:
        # A module does not say what its numbers are; the data do.
        given = spec.returns or ("value" if regression and (spec.fitted or isinstance(model, nn.Module)) else None)
        predictor = look_at_data(predictor_for(model, data, device=device, returns=given), data, given=given)
        raw = predict_raw(predictor, data.test_inputs, data.test_context)
        check_finite_outputs(raw, predictor.returns)
    except UsageError as error:
        raise UsageError(f"model {spec.name!r}: {error.message}", error.hint) from error
    if regression != (predictor.returns == "value") or raw.shape[1] != data.n_outputs:
        columns = "values" if predictor.returns == "value" else "columns"
        hint = "a regression model returns one value, a classifier one column per class"
        if raw.shape[1] == 1 and data.n_outputs == 2:
            hint += '; of a single column for class 1 say returns = "binary_logit" or "binary_probability"'
        raise UsageError(
            f"model {spec.name!r} returns {raw.shape[1]} {columns} for data of {expected_columns(data)}", hint
        )
    if bool(torch.isnan(raw).any()) and data.first_missing is not None:
        raise DataError(f"model {spec.name!r} gives NaN where values are missing")
    accuracy = held_out_score(raw, data, predictor.returns)
    provides = spec.provides
    if provides is None:
        provides = predictor.provides
    elif provides - {"truth.contributions"} and predictor.module is None:
        raise UsageError(
            f"model {spec.name!r} is declared with {', '.join(sorted(provides))} but is not a torch module",
            "return a torch.nn.Module, or leave provides= out",
        )
    return ModelRecord(
        fingerprint(predictor, data.test_inputs, data.test_context), accuracy, predictor.returns, provides, seconds
    )


def _path(spec: ModelSpec, params: Mapping[str, Any], data: Data, seed: int, cache: Path, suffix: str) -> Path:
    libraries = [torch.__version__, sklearn.__version__]
    seeds = [seed] if spec.takes("seed") else []
    # Only where there are any: keys of shipped models stay what they were.
    more = [part for part in (spec.returns, spec.code_digest) if part is not None]
    key = digest(KEY_VERSION, libraries, data.fingerprint, spec.name, dict(params), spec.version, seeds, *more)
    return cache / "models" / f"{key}{suffix}"


def _load(
    spec: ModelSpec, params: Mapping[str, Any], data: Data, seed: int, cache: Path
) -> tuple[ModelRecord, dict[str, Tensor]] | None:
    """The record and, for a module, the weights; None if there is none or the file is damaged."""
    if not spec.registered:
        return None
    try:
        saved = load_tensors_and_metadata(_path(spec, params, data, seed, cache, ".safetensors"))
        if saved is not None:
            return ModelRecord.from_json(saved[1]["record"]), saved[0]
        text = _path(spec, params, data, seed, cache, ".json").read_text(encoding="utf-8")
        return ModelRecord.from_json(text), {}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _save(
    spec: ModelSpec,
    params: Mapping[str, Any],
    data: Data,
    seed: int,
    cache: Path,
    record: ModelRecord,
    model: Any,
) -> None:
    if not spec.registered:
        return
    module = model.module if isinstance(model, Predictor) else model
    if isinstance(module, nn.Module):
        weights = {name: t.detach().clone() for name, t in cast(dict[str, Tensor], module.state_dict()).items()}
        path = _path(spec, params, data, seed, cache, ".safetensors")
        save_tensors(path, weights, {"record": json.dumps(record.to_json())})
    else:
        write_json(_path(spec, params, data, seed, cache, ".json"), record.to_json())
