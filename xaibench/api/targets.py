"""What a caller wants explained of every sample: a class, a label, an output, several labels, or a contrast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xaibench.api.inputs import as_classes
from xaibench.core.errors import UsageError
from xaibench.core.many_targets import is_indicator
from xaibench.core.outputs import has_classes
from xaibench.core.predictor import Predictor
from xaibench.core.targets import (
    RUNNER_UP,
    SampleTargets,
    check_foils,
    column_of,
    each_label,
    predicted_columns,
    predicted_like,
    runner_up,
)
from xaibench.core.types import Array


def names_of(class_names: Sequence[str] | None, model: Any, n_columns: int) -> tuple[str, ...]:
    """Names of the outputs: those that are given, else those that a fitted estimator has.

    Raises
    ------
    UsageError
        If there is not one for every output.
    """
    if class_names is None:
        known = getattr(model, "classes_", None)
        own = () if known is None or isinstance(known, list) or np.ndim(known) != 1 else tuple(map(str, known))
        return own if len(own) == n_columns else ()
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        raise UsageError("class_names is not a list of names", 'class_names=["refused", "granted"]')
    if len(class_names) != n_columns:
        raise UsageError(f"there are {len(class_names)} class_names, the model has {n_columns} outputs")
    return tuple(class_names)


def evaluates_all(targets: Any, foils: Any) -> bool:
    """Whether the outputs of all samples tell what is explained, and not only how many there are."""
    return targets is None or (isinstance(foils, str) and foils == RUNNER_UP)


def read_targets(
    targets: Any, foils: Any, n: int, raw: Tensor, predictor: Predictor, names: Sequence[str] = ()
) -> SampleTargets:
    """What a caller wants explained of ``n`` samples.

    Parameters
    ----------
    targets : array (N,) of int or of names, int, str, array (N, C) of bool, list of sets, or None
        Columns; one for all samples; for every sample the labels that are explained, one after the other; by default
        what the model predicts.
    foils : array (N,) of int or of names, int, str or None
        Columns that the targets are contrasted with; ``"runner_up"``: the one with the largest output beside them.
    n : int
    raw : Tensor (N, C) or (1, C)
        Outputs of the model: of all samples where `evaluates_all` says so.
    predictor : Predictor
    names : sequence of str
        Of the columns.

    Raises
    ------
    UsageError
        If it is not plain what is meant, or there are no such outputs.
    """
    n_columns, returns = raw.shape[1], predictor.returns
    if targets is None:
        found = SampleTargets(predicted_columns(raw, returns))
    elif (several := _several(targets, n, n_columns, returns, names)) is not None:
        found = each_label(several.to(raw.device))
    else:
        found = SampleTargets(_columns("targets", targets, n, n_columns, returns, names).to(raw.device))
    if foils is None:
        return found
    if n_columns < 2:
        raise UsageError("the model has one output, which nothing can be contrasted with", "leave foils= out")
    if isinstance(foils, str) and foils == RUNNER_UP and RUNNER_UP not in names:
        own = raw if found.rows is None else raw[found.rows]
        against = runner_up(own, found.columns)
    else:
        given = _columns("foils", foils, n, n_columns, returns, names).to(raw.device)
        against = given if found.rows is None else given[found.rows]
    check_foils(found.columns, against, names)
    return SampleTargets(found.columns, against, found.rows)


def _columns(name: str, given: Any, n: int, n_columns: int, returns: str, names: Sequence[str]) -> Tensor:
    """Columns (N,) of int64, each an output of the model."""
    if isinstance(given, (list, tuple)) and any(isinstance(one, (list, tuple, set, frozenset)) for one in given):
        hint = "a set of labels for every sample, [{0, 2}, {1}], says that several are explained"
        raise UsageError(f"{name} are lists, where one class per sample is meant", hint)
    if isinstance(given, str) or (np.ndim(given) == 0 and not isinstance(given, Tensor)):
        if not isinstance(given, (str, int, np.integer)) or isinstance(given, bool):
            raise UsageError(f"{name} are a {type(given).__name__}", "give one class per sample, or one for all")
        return predicted_like(torch.empty(n, 0), column_of(given, names, n_columns, returns))
    columns = as_classes(by_number(given, n_columns, returns, names), name)
    if tuple(columns.shape) != (n,):
        raise UsageError(f"{name} have shape {tuple(columns.shape)} for {n} inputs", "give one class per sample")
    if int(columns.min()) < 0 or int(columns.max()) >= n_columns:
        raise UsageError(
            f"{name} go from {int(columns.min())} to {int(columns.max())}, the model has {n_columns} outputs"
        )
    return columns


def by_number(given: Any, n_columns: int, returns: str, names: Sequence[str]) -> Any:
    """Numbers of the columns where a list or an array holds their names; anything else as it is.

    Raises
    ------
    UsageError
        If there is no column of such a name.
    """
    words = given if isinstance(given, (list, tuple)) else np.asarray(given) if _holds_text(given) else ()
    if names and len(words) and all(isinstance(word, str) for word in words):
        return [column_of(word, names, n_columns, returns) for word in words]
    return given


def _holds_text(given: Any) -> bool:
    return not isinstance(given, Tensor) and getattr(np.asarray(given), "dtype", np.dtype(float)).kind in "UO"


def _several(given: Any, n: int, n_columns: int, returns: str, names: Sequence[str]) -> Tensor | None:
    """Which outputs (N, C) of bool are explained of every sample, where it may be several; None where it is one."""
    found: Array
    if isinstance(given, (list, tuple)) and given and all(isinstance(one, (set, frozenset)) for one in given):
        found = np.zeros((len(given), n_columns), bool)
        for row, labels in enumerate(given):
            for label in labels:
                found[row, column_of(label, names, n_columns, returns)] = True
    elif isinstance(given, Tensor) or hasattr(given, "shape"):
        found = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    else:
        found = np.asarray(given) if _is_table(given) else np.empty(0)
    if found.ndim != 2 or found.shape[1] != n_columns or n_columns < 2 or not is_indicator(found):
        return None
    if has_classes(returns):
        raise UsageError(
            "targets name several labels of a sample, and the classes of the model exclude each other",
            'say returns="multilabel_logit" or "multilabel_probability", or give one class per sample',
        )
    if len(found) != n:
        raise UsageError(f"targets have {len(found)} rows for {n} inputs", "give the labels of every sample")
    return torch.from_numpy(found.astype(bool))


def _is_table(given: Any) -> bool:
    """Whether a list holds rows of equal length."""
    rows = given if isinstance(given, (list, tuple)) else ()
    return bool(rows) and all(isinstance(row, (list, tuple)) and len(row) == len(rows[0]) for row in rows)
