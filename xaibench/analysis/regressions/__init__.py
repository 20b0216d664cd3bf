"""The gate between two runs: which changes are regressions, and which are noise."""
