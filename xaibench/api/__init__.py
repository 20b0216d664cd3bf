"""The public Python API; `import xaibench as xb` offers what is here."""

from xaibench.api.explaining import curve, explain, score
from xaibench.api.listing import components
from xaibench.api.runs import Run, leaderboard, results, run, write_leaderboard

__all__ = ["Run", "components", "curve", "explain", "leaderboard", "results", "run", "score", "write_leaderboard"]
