"""Levels of tests and intervals, the one place where they stand."""

ALPHA = 0.05
"""Level of two-sided tests and of corrected families of tests: the chance of any false finding among them."""
ONE_SIDED_ALPHA = 0.025
"""Level of one-sided tests: that of one end of a 95 % interval."""
CONFIDENCE = 0.95
"""Confidence of intervals."""
