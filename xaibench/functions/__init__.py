"""Function interpretation: sets of functions, interpreters and program metrics; importing this registers them all."""

from xaibench.functions import controls

__all__ = ["controls"]
