"""Errors in code of users: what they say, in one line with the place of the user's code."""

from __future__ import annotations

import traceback
from pathlib import Path

from xaibench.core.errors import message_of
from xaibench.core.source_files import is_installed
from xaibench.core.sources import PACKAGE

MOST_SHOWN = 300
"""Most characters of an error that a table or a sentence shows; the row and the traceback hold more."""
TRACEBACK = "XAIBENCH_TRACEBACK"
TRACEBACK_HINT = f"{TRACEBACK}=1 in the environment prints the traceback"


def place_of(error: BaseException) -> str | None:
    """File and line of the user's code that an error comes from, ``mine.py, line 12``; None if there is none.

    The innermost place outside xaibench, installed packages and Python itself.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{Path(error.filename).name}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not path.resolve().is_relative_to(PACKAGE) and not is_installed(path):
            return f"{path.name}, line {frame.lineno}"
    return None


def text_of(error: BaseException) -> str:
    """What an error says; some cannot even say it."""
    said = str(error.msg) if isinstance(error, SyntaxError) else message_of(error)
    return said or type(error).__name__


def shortened(text: str, most: int = MOST_SHOWN) -> str:
    """Text on one line of at most ``most`` characters.

    Examples
    --------
    >>> from xaibench.core.user_errors import shortened
    >>> shortened("a  b\\n" + "c" * 20, 10)
    'a b ccc...'
    """
    line = " ".join(text[: 20 * most].split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def described(error: BaseException) -> str:
    """Type, text and place of an error in at most 300 characters: ``KeyError: 'income' (loans.py, line 7)``."""
    place = place_of(error)
    tail = f" ({place})" if place else ""
    head = f"{type(error).__name__}: {text_of(error)}"
    return f"{shortened(head, MOST_SHOWN - len(tail))}{tail}"
