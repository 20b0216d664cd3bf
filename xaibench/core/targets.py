"""What is explained of every sample: the predicted class, its label, a named output, or one class against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xaibench.core.errors import UsageError, did_you_mean
from xaibench.core.outputs import has_classes

if TYPE_CHECKING:
    from torch import Tensor

PREDICTED, LABEL, EACH, RUNNER_UP = "predicted", "label", "each", "runner_up"
_WORDS = (PREDICTED, LABEL, EACH, RUNNER_UP)
_NAMED, _CONTRAST = "label:", "contrast:"


@dataclass(frozen=True)
class SampleTargets:
    """What is explained of every sample.

    Attributes
    ----------
    columns : Tensor (M,) of int64
        The output that is explained.
    foils : Tensor (M,) of int64 or None
        The output that it is contrasted with.
    rows : Tensor (M,) of int64 or None
        Which row each is of, where one row is several samples; None: one for every row.
    """

    columns: Tensor
    foils: Tensor | None = None
    rows: Tensor | None = None


def check_target(target: str) -> str:
    """The target of a suite, or ValueError if it is none of the forms that there are.

    Examples
    --------
    >>> check_target("contrast:cat-dog")
    'contrast:cat-dog'
    """
    if target in _WORDS or (target.startswith(_NAMED) and len(target) > len(_NAMED)):
        return target
    if target.startswith(_CONTRAST):
        first, dash, second = target.removeprefix(_CONTRAST).partition("-")
        if first and dash and second:
            return target
        raise ValueError(f"{target!r} does not name two classes; write contrast:A-B")
    raise ValueError(
        f"{target!r} is not a target; known are predicted, label, label:NAME, each, contrast:A-B and runner_up"
    )


def choose_targets(
    target: str,
    raw: Tensor,
    returns: str,
    *,
    names: Sequence[str] = (),
    classes: Tensor | None = None,
    labels: Tensor | None = None,
) -> SampleTargets:
    """What a target means for samples.

    Parameters
    ----------
    target : str
        ``predicted``: the class, or the label, with the largest output. ``label``: the true class. ``label:NAME``: one
        class, label or output, by name or number, for all samples. ``each``: every label that a row has; the row is
        then one sample for each of them, and none if it has none. ``contrast:A-B``: one class against another.
        ``runner_up``: the predicted class against the one with the second largest output.
    raw : Tensor (N, C)
        Outputs of the samples.
    returns : str
        What they are.
    names : sequence of str
        Of the classes, labels or outputs.
    classes : Tensor (N,) of int64, optional
        The true classes.
    labels : Tensor (N, C) of bool, optional
        Which labels are true, where several may be.

    Raises
    ------
    UsageError
        If nothing is meant by it here.
    """
    if target == PREDICTED:
        return SampleTargets(predicted_columns(raw, returns))
    if target == RUNNER_UP:
        columns = predicted_columns(raw, returns)
        return SampleTargets(columns, runner_up(raw, columns))
    if target == LABEL:
        _require_one_label(raw, returns, labels)
        assert classes is not None
        return SampleTargets(classes)
    if target == EACH:
        if labels is None:
            raise UsageError(
                'target "each" explains every label of a row, and the data have one label per row',
                'say target = "label", or give the data train_labels= and test_labels=',
            )
        return each_label(labels)
    if target.startswith(_NAMED):
        column = column_of(target.removeprefix(_NAMED), names, raw.shape[1], returns)
        return SampleTargets(predicted_like(raw, column))
    first, second = _contrasted(target.removeprefix(_CONTRAST), names, raw.shape[1], returns)
    return SampleTargets(predicted_like(raw, first), predicted_like(raw, second))


def predicted_like(raw: Tensor, column: int) -> Tensor:
    """The same column (N,) of int64 for all rows of outputs (N, C)."""
    import torch

    return torch.full((len(raw),), column, dtype=torch.int64, device=raw.device)


def predicted_columns(raw: Tensor, returns: str) -> Tensor:
    """Columns (N,) with the largest output of (N, C), or UsageError where several values are returned."""
    if returns == "value" and raw.shape[1] > 1:
        raise UsageError(
            f"the model returns {raw.shape[1]} values per sample, and none of them is predicted",
            'say which one is explained: targets= in Python, target = "label:NAME" in a suite',
        )
    return raw.argmax(dim=1)


def runner_up(raw: Tensor, columns: Tensor) -> Tensor:
    """Columns (N,) with the largest output of (N, C) beside ``columns`` (N,)."""
    import torch

    if raw.shape[1] < 2:
        raise UsageError("the model has one output, which nothing can be contrasted with")
    return raw.scatter(1, columns.unsqueeze(1), -torch.inf).argmax(dim=1)


def each_label(labels: Tensor) -> SampleTargets:
    """A sample for every true label of rows (N, C) of bool, row by row.

    Raises
    ------
    UsageError
        If no row has a label.
    """
    rows, columns = labels.nonzero(as_tuple=True)
    if len(rows) == 0:
        raise UsageError("no sample has a label, so there is nothing to explain")
    return SampleTargets(columns, rows=rows)


def check_foils(columns: Tensor, foils: Tensor, names: Sequence[str] = ()) -> None:
    """Raise UsageError where a column (N,) is contrasted with itself."""
    same = (columns == foils).nonzero().flatten().tolist()
    if same:
        column = int(columns[same[0]])
        raise UsageError(
            f"sample {same[0]} contrasts {names[column] if names else f'output {column}'} with itself",
            'give other foils, or contrast with the second most likely class: foils="runner_up"',
        )


def column_of(name: object, names: Sequence[str], n_columns: int, returns: str) -> int:
    """The column of a class, label or output by its name, or else by its number.

    Raises
    ------
    UsageError
        If there is none.
    """
    text = str(name)
    if text in names:
        return list(names).index(text)
    if text.isdecimal() and int(text) < n_columns:
        return int(text)
    what = "class" if has_classes(returns) else "output" if returns == "value" else "label"
    hint = did_you_mean(text, names) if names else f"numbers go from 0 to {n_columns - 1}; the names are not known"
    raise UsageError(f"the model has no {what} {text!r}", hint)


def _contrasted(pair: str, names: Sequence[str], n_columns: int, returns: str) -> tuple[int, int]:
    """The columns of ``A-B``, where names may have dashes themselves."""
    parts = pair.split("-")
    found, refused = [], None
    for i in range(1, len(parts)):
        try:
            ends = "-".join(parts[:i]), "-".join(parts[i:])
            first, second = (column_of(name, names, n_columns, returns) for name in ends)
            found.append((first, second))
        except UsageError as error:
            refused = refused or error
    if not found:
        assert refused is not None
        raise refused
    if len(found) > 1:
        raise UsageError(f"{pair!r} can be read as two pairs of classes", "write the numbers of the classes")
    if found[0][0] == found[0][1]:
        raise UsageError(f"{pair!r} contrasts a class with itself", "name two classes")
    return found[0]


def _require_one_label(raw: Tensor, returns: str, labels: Tensor | None) -> None:
    if labels is not None:
        raise UsageError("a row may have several labels", 'say target = "each", or "label:NAME" for one of them')
    if returns == "value" and raw.shape[1] > 1:
        predicted_columns(raw, returns)
