"""How optional dependencies are installed, in the words of every hint."""

from __future__ import annotations


def install_command(extra: str) -> str:
    """The command that installs an extra, quoted: brackets are patterns in zsh.

    >>> install_command("ebm")
    "pip install 'xaibench[ebm]'"
    """
    return f"pip install 'xaibench[{extra}]'"
