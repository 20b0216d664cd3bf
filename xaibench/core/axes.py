"""Axes of inputs: in which ways a shape can be read, and what to say to choose one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xaibench.core.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

AXES: dict[str, dict[int, tuple[str, ...]]] = {
    "image": {2: ("NHW",), 3: ("NCHW", "NHWC")},
    "volume": {3: ("NDHW",), 4: ("NCDHW",)},
    "series": {1: ("NT",), 2: ("NTC", "NCT")},
    "table": {1: ("ND",)},
    "tokens": {1: ("NL",), 2: ("NLD",)},
}
"""Readings of a sample's shape by kind and number of axes, the usual one first."""
MOST_CHANNELS = 4
_WORDS = {
    "NTC": "{0} steps of {1} sensors",
    "NCT": "{0} sensors of {1} steps",
    "NCHW": "{0} channels of {1} x {2} pixels",
    "NHWC": "{0} x {1} pixels of {2} channels",
    "NHW": "{0} x {1} pixels",
    "NDHW": "{0} x {1} x {2} voxels",
    "NCDHW": "{0} channels of {1} x {2} x {3} voxels",
}


def check_axes(shape: tuple[int, ...], features: str, axes: str | None) -> bool:
    """Whether a series has its sensors first; other kinds do not.

    Parameters
    ----------
    shape : tuple of int
        Of one sample.
    features : str
        A kind that such a shape can be.
    axes : str or None
        What the caller says.

    Raises
    ------
    UsageError
        If these axes do not go with shape and kind, or if none are given and the shape can be read in
        two ways: a series of fewer steps than sensors, or an image of more than four channels whose
        last side is not longer than that.
    """
    known = AXES.get(features, {}).get(len(shape), ())
    if axes is not None:
        if axes not in known:
            raise UsageError(
                f"axes={axes!r} cannot be those of {features!r} inputs of shape {_batch(shape)}",
                did_you_mean(axes, known) if known else "leave axes out",
            )
        if axes == "NHWC":
            raise UsageError("images have their channels first here", "transpose them: x.transpose(0, 3, 1, 2)")
        return axes == "NCT"
    if features == "series" and len(shape) == 2 and shape[0] < shape[1]:
        raise _in_doubt(shape, features, known)
    if features == "image" and channels_last(shape):
        raise _in_doubt(shape, features, known)
    return False


def channels_last(shape: tuple[int, ...]) -> bool:
    """Whether a sample (three axes) looks like an image with its channels last."""
    return len(shape) == 3 and min(shape[:2]) > MOST_CHANNELS >= shape[2]


def could_be(shape: tuple[int, ...]) -> str:
    """What to say for every way in which a sample's shape can be read."""
    found = []
    for features in ("series", "image", "volume"):
        for axes in AXES[features].get(len(shape), ()):
            if axes == "NHWC" and not channels_last(shape):
                continue
            found.append(_reading(shape, features, axes))
    return f"say {', or '.join(found)}" if found else ""


def _in_doubt(shape: tuple[int, ...], features: str, known: tuple[str, ...]) -> UsageError:
    readings = ", or ".join(_reading(shape, features, axes) for axes in known)
    return UsageError(f"{features} inputs of shape {_batch(shape)} can be read in {len(known)} ways", f"say {readings}")


def _reading(shape: tuple[int, ...], features: str, axes: str) -> str:
    words = re.sub(r"\b1 (step|sensor|channel)s", r"1 \1", _WORDS[axes].format(*shape))
    return f'features="{features}", axes="{axes}" for {words}'


def _batch(shape: tuple[int, ...]) -> str:
    return f"(N, {', '.join(map(str, shape))})"


def check_convolution(module: nn.Module | None, shape: tuple[int, ...], features: str, axes: str | None) -> None:
    """Raise UsageError if a series is read as (time, sensors), and the model's first convolution says otherwise.

    A `torch.nn.Conv1d` takes (N, channels, time). Where its number of channels is that of the first axis
    of a sample and not of the second, what was taken for time are the sensors.
    """
    if module is None or features != "series" or len(shape) != 2 or axes is not None or shape[0] == shape[1]:
        return
    from torch import nn

    first = next((m for m in module.modules() if isinstance(m, (nn.Conv1d, nn.Linear, nn.RNNBase))), None)
    if isinstance(first, nn.Conv1d) and first.in_channels == shape[0] != shape[1]:
        raise UsageError(
            f"series inputs of shape {_batch(shape)} would have their time first, and the model's"
            f" first convolution takes {shape[0]} channels",
            f"say {_reading(shape, features, 'NCT')}, or {_reading(shape, features, 'NTC')}",
        )
