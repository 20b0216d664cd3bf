"""The command line in this process: the fixture ``call`` is for tests that need no shell."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from xaibench import cli

Call = Callable[..., tuple[int, str, str]]
"""``call("run", suite, "--store", path) -> exit code, standard output, standard error``."""


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command line with these arguments, whatever they are, as text."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xaibench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run
