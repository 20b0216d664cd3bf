"""What a caller can do where a model does not meet a need."""

from __future__ import annotations

from xaibench.core.attention import HOW_TO_SHOW
from xaibench.core.steps import HOW_TO_WRAP, OWN_STEPS

HOW_TO_MEET = {"attention": HOW_TO_SHOW, OWN_STEPS: HOW_TO_WRAP}
"""A hint by need."""
