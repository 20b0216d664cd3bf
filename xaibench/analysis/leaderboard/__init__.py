"""The leaderboard: one row per problem, explainer and metric, with intervals, ranks and placebo tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xaibench.analysis.leaderboard.table import leaderboard

__all__ = ["leaderboard"]


def __getattr__(name: str) -> Any:
    """Import what computes a board when it is first used: code that only formats tables needs no scipy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from xaibench.analysis.leaderboard import table

    return getattr(table, name)
