"""Settings of executors, given as text."""

from __future__ import annotations

import math
from collections.abc import Mapping

from xaibench.core.errors import UsageError, did_you_mean


class ExecutorSettings:
    """What an executor is told besides the options, each named once by the one who asks for it.

    Parameters
    ----------
    executor : str
    given : mapping of str to str
    """

    def __init__(self, executor: str, given: Mapping[str, str]) -> None:
        self.executor = executor
        self._given = dict(given)
        self._known: set[str] = set()

    def text(self, name: str) -> str | None:
        """A text, None if it is not given."""
        self._known.add(name)
        return self._given.get(name)

    def count(self, name: str) -> int | None:
        """A whole number above 0."""
        given = self.text(name)
        if given is not None and not (given.isdecimal() and int(given)):
            raise UsageError(f"{name}={given} of executor {self.executor} is no number above 0")
        return None if given is None else int(given)

    def seconds(self, name: str, default: float) -> float:
        """Seconds, 0 or more."""
        given = self.text(name)
        return default if given is None else self._number(name, given)

    def amounts(self, name: str) -> dict[str, float]:
        """Names with numbers, ``GPU=1,MEMORY=8e9``."""
        given = self.text(name)
        pairs = (pair.partition("=") for pair in (given or "").split(",") if pair)
        return {key.strip(): self._number(name, value) for key, _, value in pairs}

    def _number(self, name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{text!r} in {name} of executor {self.executor} is no number")
        return value

    def others(self) -> dict[str, str]:
        """All that has not been asked for by name."""
        return {name: value for name, value in self._given.items() if name not in self._known}

    def done(self) -> None:
        """Raise UsageError if something is given that nobody has asked for."""
        for name in self.others():
            hint = did_you_mean(name, self._known) if self._known else "name another one with --executor"
            raise UsageError(f"executor {self.executor} has no setting {name!r}", hint)
