"""Model outputs: logits, probabilities or values, and which of them is explained and measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from xaibench.core.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Output = Literal["logit", "probability", "margin", "value"]
Returns = Literal["logit", "multilabel_logit", "probability", "value"]
OUTPUTS: tuple[str, ...] = get_args(Output)
_SUPPORTED: dict[str, tuple[str, ...]] = {
    "logit": ("logit", "probability", "margin"),
    "multilabel_logit": ("logit", "probability"),
    "probability": ("probability", "margin"),
    "value": ("value",),
}


def default_output(returns: str) -> str:
    """The output that is explained by default: what the model returns."""
    return "logit" if returns == "multilabel_logit" else returns


def has_classes(returns: str) -> bool:
    """Whether the columns are classes of which one is predicted, and not independent labels or values."""
    return returns in ("logit", "probability")


def curve_output(returns: str) -> str:
    """The output that removal curves use: the probability where there is one, because it is bounded."""
    return "value" if returns == "value" else "probability"


def require_classes(returns: str, what: str) -> None:
    """Raise UnsupportedError where no class is predicted; ``what`` says what one is needed for."""
    if not has_classes(returns):
        why = "the model returns values" if returns == "value" else "the labels of the model do not exclude each other"
        raise UnsupportedError(f"{what}, and {why}")


def check_output(output: str, returns: str) -> None:
    """Raise UnsupportedError when a model that returns ``returns`` cannot give ``output``."""
    if output not in _SUPPORTED[returns]:
        raise UnsupportedError(
            f"output {output!r} is unavailable from a model that returns {returns}",
            f"possible here: {', '.join(_SUPPORTED[returns])}",
        )


def check_columns(raw: Tensor, returns: str) -> None:
    """Raise UsageError when a classifier has a single column (N, 1): whatever it says, one class is predicted."""
    if raw.shape[1] == 1 and has_classes(returns):
        raise UsageError(
            f"the model returns a single {returns} per sample",
            'return a column for every class, or say returns="value" to explain the number itself, '
            'or returns="multilabel_logit" for the logit of a sigmoid',
        )


def select_output(raw: Tensor, targets: Tensor, output: str, returns: str) -> Tensor:
    """Pick one number per sample from raw model outputs.

    Parameters
    ----------
    raw : Tensor (N, C)
    targets : Tensor (N,) of int64
    output : {"logit", "probability", "margin", "value"}
        ``margin`` is the target's raw output minus the largest other one.
    returns : {"logit", "multilabel_logit", "probability", "value"}
        What ``raw`` holds. The probability of a class is the softmax of all columns, that of an independent label
        the sigmoid of its own (``multilabel_logit``).

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

    check_output(output, returns)
    check_columns(raw, returns)
    index = targets.unsqueeze(1)
    if output == "probability" and returns == "logit":
        # Softmax down columns is several times faster than along the short rows of a classifier.
        return torch.softmax(raw.t().contiguous(), dim=0).gather(0, index.t()).squeeze(0)
    picked = raw.gather(1, index).squeeze(1)
    if output == "probability" and returns == "multilabel_logit":
        return torch.sigmoid(picked)
    if output == "margin":
        others = raw.scatter(1, index, -torch.inf)
        return picked - others.amax(dim=1)
    return picked
