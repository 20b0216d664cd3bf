"""Calls of Quantus' metrics as its users call them: all samples in one batch, the library's defaults.

So a score may depend on the other samples in the batch, which our own metrics must not: it is what an audit finds out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from xaibench.core.components import Family
from xaibench.core.errors import UnsupportedError
from xaibench.core.evaluation import Evaluation
from xaibench.core.explain_request import ExplainRequest
from xaibench.core.generators import seed_of_sample, seeded_generators
from xaibench.core.libraries import import_library
from xaibench.core.predictor import require_module
from xaibench.core.registry import metric
from xaibench.core.types import Array

ORIGINAL = "original"
"""What dictionaries of results call the model as it is."""
QuantusOptions = Callable[[Evaluation], Mapping[str, Any]]


def quantus_metric(
    name: str,
    summary: str,
    *,
    family: Family,
    higher_is_better: bool,
    module: str,
    needs: Iterable[str] = (),
    scope: Literal["sample", "dataset"] = "sample",
    options: QuantusOptions | None = None,
) -> Callable[[Evaluation], Tensor]:
    """Register the metric of Quantus with this class name as ``quantus:NAME``.

    Parameters
    ----------
    name : str
        Name of the class.
    summary : str
        What it says, in a sentence.
    family : str
    higher_is_better : bool
        As the library declares it (``score_direction``).
    module : str
        ``__name__`` of the calling module.
    needs : iterable of str
        Beside a torch module.
    scope : {"sample", "dataset"}
        One score per sample, or one number per batch.
    options : callable, optional
        Parameters of the class that have no sound default for the evaluation.
    """

    def score(ev: Evaluation) -> Tensor:
        return call_quantus(ev, name, {} if options is None else options(ev), scope)

    score.__doc__ = f"""{summary}

    Quantus' implementation with its defaults, all samples in one batch.

    Returns
    -------
    Tensor (N,)
        As the library gives it; one number for the whole batch has the scope of a data set. The mean of a curve, and
        of the layers of a dictionary without the original model.

    Raises
    ------
    UnsupportedError
        If quantus is not installed, or the data are neither images nor tables.
    """
    score.__name__ = score.__qualname__ = f"quantus_{name.lower()}"
    score.__module__ = module
    return metric(
        f"quantus:{name}",
        family=family,
        higher_is_better=higher_is_better,
        needs={"module", *needs},
        scope=scope,
        sign="absolute",
        source=f"Hedstroem et al. 2023, Quantus; class {name}",
    )(score)


def call_quantus(ev: Evaluation, name: str, options: Mapping[str, Any], scope: str) -> Tensor:
    """Scores of one metric, (N,) or (1,).

    Raises
    ------
    UnsupportedError
        If the library is missing, or cannot be given these data.
    ValueError
        If it returns something that is not a score per sample, or per batch.
    """
    if ev.layout.kind not in ("image", "table") or ev.context:
        raise UnsupportedError("Quantus is given images and tables here", "our own metrics take other data")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantus = import_library("quantus")
        made = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **options)
        seed = seed_of_sample(ev.seed, f"quantus:{name}", b"")
        with seeded_generators(seed), torch.enable_grad():
            found = made(
                model=require_module(ev.model).module,
                x_batch=_array(ev.inputs),
                y_batch=_array(ev.targets),
                a_batch=_array(_with_channel(ev, ev.attributions)),
                s_batch=None if ev.truth is None or ev.truth.mask is None else _masks(ev),
                channel_first=True,
                explain_func=_explaining(ev),
                device=str(ev.model.device),
            )
    return _scores(found, len(ev), scope)


def mask_size(ev: Evaluation) -> Mapping[str, Any]:
    """``k`` for metrics of the top k features: the size of the smallest true mask in the batch."""
    assert ev.truth is not None
    assert ev.truth.mask is not None
    return {"k": max(int(ev.truth.mask.flatten(1).sum(dim=1).min()), 1)}


def every_score(_ev: Evaluation) -> Mapping[str, Any]:
    """Scores of samples instead of their mean."""
    return {"return_aggregate": False}


def _array(values: Tensor) -> Array:
    # A copy, because some metrics of the library change what they are given.
    return values.detach().cpu().numpy().copy()


def _with_channel(ev: Evaluation, maps: Tensor) -> Tensor:
    """Maps with an axis of one channel where the inputs have channels."""
    return maps.unsqueeze(1) if ev.inputs.ndim == maps.ndim + 1 else maps


def _masks(ev: Evaluation) -> Array:
    assert ev.truth is not None
    assert ev.truth.mask is not None
    return _array(_with_channel(ev, ev.truth.mask)).astype(bool)


def _explaining(ev: Evaluation) -> Callable[..., Array]:
    """The explainer as the library calls it: ``(model, inputs, targets) -> array``."""
    original = require_module(ev.model)

    def explain(model: Any = None, inputs: Any = None, targets: Any = None, **_others: Any) -> Array:
        given = torch.as_tensor(np.asarray(inputs), dtype=ev.inputs.dtype, device=ev.inputs.device)
        given = given.reshape(-1, *ev.inputs.shape[1:])
        if len(given) % len(ev):
            raise ValueError(f"the library explains {len(given)} inputs, which are not copies of {len(ev)} samples")
        rows = torch.arange(len(ev), device=ev.inputs.device).repeat(len(given) // len(ev))
        wanted = ev.targets[rows]
        if targets is not None and np.size(targets) == len(given):
            wanted = torch.as_tensor(np.asarray(targets, np.int64), device=ev.targets.device).reshape(-1)
        module = model.get_model() if hasattr(model, "get_model") else model
        other = None if module is None or module is original.module else original.with_module(module.eval())
        found = ev.explain(ExplainRequest(inputs=given, rows=rows, model=other, targets=wanted))
        return _array(_with_channel(ev, found))

    return explain


def _scores(found: Any, n: int, scope: str) -> Tensor:
    """What the library returned as a score per sample, or as one for the batch."""
    if isinstance(found, dict):
        layers = [np.asarray(v, np.float64) for k, v in found.items() if str(k) != ORIGINAL]
        values = np.mean([np.atleast_1d(v) for v in layers], axis=0)
    else:
        values = np.asarray(found, np.float64)
    values = np.atleast_1d(values)
    if scope == "dataset":
        return torch.tensor([float(values.mean())])
    if values.ndim > 1 and len(values) == n:
        values = values.reshape(n, -1).mean(axis=1)
    if values.shape != (n,):
        raise ValueError(f"the library returned {values.shape} for {n} samples")
    return torch.from_numpy(values)
