"""Whether a masker changes anything: removal that removes nothing gives every map the same score."""

from __future__ import annotations

import torch
from torch import Tensor

from xaibench.core.errors import UnsupportedError
from xaibench.core.finite import all_finite


def changes_nothing(inputs: Tensor, fill: Tensor) -> bool:
    """Whether every feature of all samples (N, *input_shape) already has the value that stands for "missing".

    False for a single sample: that a masker leaves one alone (a black image, removed by zeros) says
    nothing about the masker.

    Examples
    --------
    >>> import torch
    >>> from xaibench.core.masking.effect import changes_nothing
    >>> changes_nothing(torch.zeros(2, 3), torch.zeros(2, 3)), changes_nothing(torch.eye(2), torch.zeros(2, 2))
    (True, False)
    """
    if len(inputs) < 2:
        return False
    if torch.equal(inputs, fill):
        return True
    if all_finite(fill):
        return False
    same = (inputs == fill) | (torch.isnan(inputs) & torch.isnan(fill))
    return bool(same.all())


def check_effect(name: str, inputs: Tensor, fill: Tensor) -> None:
    """Raise UnsupportedError if a masker changes no feature of any of several samples.

    Parameters
    ----------
    name : str
        Of the masker.
    inputs, fill : Tensor (N, *input_shape)
        Samples, and what they are with every feature missing.
    """
    if changes_nothing(inputs, fill):
        raise UnsupportedError(
            f"the masker {name!r} changes nothing: all features of all {len(inputs)} samples already have the value"
            " that stands for missing",
            "choose another masker, or give reference samples (background=)",
        )
