"""String functions: primitives, a set of functions, interpreters and scores; importing this registers them."""

from xaibench.functions.strings import baselines, generation, scores, search

__all__ = ["baselines", "generation", "scores", "search"]
