"""Advice: which explainers a leaderboard supports, which it speaks against, and what it leaves open."""
