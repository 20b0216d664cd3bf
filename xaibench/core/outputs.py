"""Model outputs: logits, probabilities or values, and which of them is explained and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, get_args

from xaibench.core.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Output = Literal["logit", "probability", "margin", "contrast", "value"]
Returns = Literal["logit", "multilabel_logit", "probability", "multilabel_probability", "value"]
GivenReturns = Literal[
    "logit", "binary_logit", "multilabel_logit", "probability", "binary_probability", "multilabel_probability", "value"
]
"""What a caller may say that a model returns: of a single column for two classes, that of class 1."""
OUTPUTS: tuple[str, ...] = get_args(Output)
_SUPPORTED: dict[str, tuple[str, ...]] = {
    "logit": ("logit", "probability", "margin"),
    "multilabel_logit": ("logit", "probability"),
    "probability": ("probability", "margin"),
    "multilabel_probability": ("probability",),
    "value": ("value",),
}
STANDARDISED = "standardised_value"
"""What removal curves of values measure: in standard deviations from the mean, over the reference samples."""
_OF_TWO_COLUMNS: dict[str, Returns] = {"binary_logit": "logit", "binary_probability": "probability"}


def columns_returned(given: str | None) -> Returns | None:
    """What the columns of a model are, once a single one for two classes is written as two."""
    return cast("Returns | None", _OF_TWO_COLUMNS.get(given or "", given))


def is_of_one_column(given: str | None) -> bool:
    """Whether a caller said that the model has a single column, for class 1 of two classes."""
    return given in _OF_TWO_COLUMNS


def default_output(returns: str, *, contrastive: bool = False) -> str:
    """The output that is explained by default: what the model returns, or the contrast with a foil."""
    return "contrast" if contrastive else returns.removeprefix("multilabel_")


def has_classes(returns: str) -> bool:
    """Whether the columns are classes of which one is predicted, and not independent labels or values."""
    return returns in ("logit", "probability")


def label_threshold(returns: str) -> float:
    """The output of an independent label above which the label is predicted."""
    return 0.0 if returns == "multilabel_logit" else 0.5


def curve_output(returns: str, *, contrastive: bool = False) -> str:
    """The output that removal curves use: the probability where there is one, because it is bounded."""
    return default_output(returns, contrastive=contrastive) if returns == "value" else "probability"


def require_classes(returns: str, what: str) -> None:
    """Raise UnsupportedError where no class is predicted; ``what`` says what one is needed for."""
    if not has_classes(returns):
        why = "the model returns values" if returns == "value" else "the labels of the model do not exclude each other"
        raise UnsupportedError(f"{what}, and {why}")


def check_output(output: str, returns: str, *, contrastive: bool = False) -> None:
    """Raise UnsupportedError when a model that returns ``returns`` cannot give ``output``, with foils or without."""
    possible = _SUPPORTED[returns]
    if contrastive:
        possible = ("contrast",) if returns == "value" else ("contrast", "probability")
    if output in possible:
        return
    where = "where a class is contrasted with a foil" if contrastive else f"from a model that returns {returns}"
    hint = f"possible here: {', '.join(possible)}"
    if output == "contrast":
        where, hint = "without a foil", 'pass foils=, or in a suite target = "contrast:A-B" or "runner_up"'
    raise UnsupportedError(f"output {output!r} is unavailable {where}", hint)


def check_columns(raw: Tensor, returns: str) -> None:
    """Raise UsageError when a classifier has a single column (N, 1): whatever it says, one class is predicted."""
    if raw.shape[1] == 1 and has_classes(returns):
        raise UsageError(
            f"the model returns a single {returns} per sample",
            'say returns="binary_logit" or "binary_probability" if it is that of class 1 of two classes, '
            'returns="value" to explain the number itself, or return a column for every class',
        )


def select_output(raw: Tensor, targets: Tensor, output: str, returns: str, foils: Tensor | None = None) -> Tensor:
    """Pick one number per sample from raw model outputs.

    Parameters
    ----------
    raw : Tensor (N, C)
    targets : Tensor (N,) of int64
    output : {"logit", "probability", "margin", "contrast", "value"}
        ``margin`` is the target's raw output minus the largest other one, ``contrast`` that minus the foil's.
    returns : {"logit", "multilabel_logit", "probability", "multilabel_probability", "value"}
        What ``raw`` holds. The probability of a class is the softmax of all columns, that of an independent label
        the sigmoid of its own (``multilabel_logit``).
    foils : Tensor (N,) of int64, optional
        Columns that the targets are contrasted with. The probability is then that of the target against its foil,
        ``p / (p + p_foil)``, one half where both are 0; of logits the sigmoid of their difference.

    Returns
    -------
    Tensor (N,)

    Raises
    ------
    UnsupportedError
        If this output is unavailable from these numbers.
    UsageError
        If a classifier has a single column: its softmax would be 1 whatever it says.
    """
    import torch

    check_output(output, returns, contrastive=foils is not None)
    check_columns(raw, returns)
    index = targets.unsqueeze(1)
    if foils is None and output == "probability" and returns == "logit":
        # Softmax down columns is several times faster than along the short rows of a classifier.
        return torch.softmax(raw.t().contiguous(), dim=0).gather(0, index.t()).squeeze(0)
    picked = raw.gather(1, index).squeeze(1)
    if foils is not None:
        against = raw.gather(1, foils.unsqueeze(1)).squeeze(1)
        if output == "contrast":
            return picked - against
        if "logit" in returns:
            return torch.sigmoid(picked - against)
        both = picked + against
        return torch.where(both > 0, picked / torch.where(both > 0, both, 1.0), 0.5)
    if output == "probability" and returns == "multilabel_logit":
        return torch.sigmoid(picked)
    if output == "margin":
        others = raw.scatter(1, index, -torch.inf)
        return picked - others.amax(dim=1)
    return picked
