"""Execution: one unit in, one result out, and everything that is done is kept."""

from xaibench.execution.observer import Observer
from xaibench.execution.run import Options, Outcome, execute

__all__ = ["Observer", "Options", "Outcome", "execute"]
