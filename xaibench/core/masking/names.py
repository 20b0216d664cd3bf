"""Names of the maskers, and which of them draw: known without importing what computes with them."""

from __future__ import annotations

MASKERS_VERSION = 2
"""Raised when what a masker fills in changes: shared evaluations of older versions are not used again."""
DRAWN = frozenset({"uniform", "marginal", "noisy_linear", "conditional"})
"""Maskers with random numbers; results that rest on them belong to `MASKERS_VERSION`."""
FILLING = ("zero", "mean", "blur", "uniform", "marginal", "sample_min")
"""Maskers that replace removed features by those of a fixed fill."""
MASKERS = (*FILLING, "noisy_linear", "conditional")
