"""Execution: units are run by an executor, and every result is stored at once."""

from xaibench.execution.executor import Executor, find_executor
from xaibench.execution.observer import Observer
from xaibench.execution.run import Outcome, execute
from xaibench.execution.task import Options

__all__ = ["Executor", "Observer", "Options", "Outcome", "execute", "find_executor"]
