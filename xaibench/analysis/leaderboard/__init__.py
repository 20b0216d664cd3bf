"""The leaderboard: one row per problem, explainer and metric, with intervals, ranks and placebo tests."""

from xaibench.analysis.leaderboard.table import leaderboard

__all__ = ["leaderboard"]
