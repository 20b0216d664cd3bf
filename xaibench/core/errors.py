"""Errors that a user can act on. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class XaibenchError(Exception):
    """Something the user can fix: one clear sentence, a hint, and an exit code.

    Parameters
    ----------
    message : str
        One sentence that says what is wrong.
    hint : str, optional
        What to do about it.

    Examples
    --------
    >>> import xaibench as xb
    >>> try:
    ...     xb.components("metrik")
    ... except xb.XaibenchError as error:
    ...     error.exit_code
    2
    """

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """The message, and the hint on a line of its own, as tracebacks and notebooks show them."""
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class UsageError(XaibenchError, ValueError):
    """A wrong argument, name, parameter or suite file (exit code 2); also a `ValueError`.

    Examples
    --------
    >>> import xaibench as xb
    >>> try:
    ...     xb.components("metrik")
    ... except xb.UsageError as error:
    ...     print(error.message, "-", error.hint)
    unknown kind 'metrik' - did you mean 'metric'?
    """


class UnsupportedError(XaibenchError, NotImplementedError):
    """The component cannot work on this problem; also a `NotImplementedError`.

    In a run it becomes a cell with status ``unsupported``.

    Examples
    --------
    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a[:, 0], -a[:, 0]], axis=1)
    >>> try:
    ...     xb.explain("gradient", model=model, returns="logit", inputs=np.ones((1, 2)))
    ... except xb.UnsupportedError as error:
    ...     print(error.message)
    explainer 'gradient' needs gradients
    """


class DataError(XaibenchError):
    """Data that is missing, damaged or not what its card says (exit code 2)."""


class StoreError(XaibenchError):
    """A store that cannot be read or written (exit code 2)."""


class NothingToDoError(XaibenchError):
    """Nothing was selected, or nothing is comparable (exit code 4)."""

    exit_code = 4


class XaibenchWarning(UserWarning):
    """What a caller should know, although a number was found.

    Examples
    --------
    >>> import warnings
    >>> import xaibench as xb
    >>> x = [[1.0, 2.0]]
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", xb.XaibenchWarning)
    ...     found = xb.score("sparseness", model=lambda a: a, inputs=x, attributions=x, background=x, returns="logit")
    >>> found.shape
    (1,)
    """


class UnusedBackgroundWarning(XaibenchWarning):
    """Reference samples were given, and nothing that was asked for compares with them.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import xaibench as xb
    >>> model = lambda a: np.stack([a[:, 0], -a[:, 0]], axis=1)
    >>> x = np.ones((1, 2))
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     _ = xb.explain("feature_ablation", model=model, returns="logit", inputs=x, background=x, masker="zero")
    >>> said[0].category.__name__
    'UnusedBackgroundWarning'
    """


def message_of(error: BaseException) -> str:
    """What an exception says, whatever it is; of the errors above the message without its hint."""
    if isinstance(error, XaibenchError):
        return error.message
    try:
        return str(error)
    except Exception:
        return "(it has no text)"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint naming the closest known names, or the whole list when it is short."""
    options = sorted(set(known))
    close = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(repr(c) for c in close)}?"
    if len(options) <= 20:
        return f"known: {', '.join(options)}" if options else "nothing is registered"
    return "`xaibench list` shows every name"
