"""Data sets: loaders and generators. Importing this package registers them."""

from xaibench.datasets import (
    discoveries,
    images,
    leakage,
    piecewise,
    planted,
    suppressors,
    tables,
    xai_tris,
)

__all__ = [
    "discoveries",
    "images",
    "leakage",
    "piecewise",
    "planted",
    "suppressors",
    "tables",
    "xai_tris",
]
