"""Frames in, frames out: statistics, the leaderboard, ranks. No input or output, no printing."""
