"""Data sets: loaders and generators. Importing this package registers them."""

from xaibench.datasets import (
    bam,
    bam_folder,
    blocks,
    discoveries,
    images,
    leakage,
    piecewise,
    planted,
    scaffold,
    suppressors,
    switched,
    synthgauss,
    tables,
    xai_tris,
)

__all__ = [
    "bam",
    "bam_folder",
    "blocks",
    "discoveries",
    "images",
    "leakage",
    "piecewise",
    "planted",
    "scaffold",
    "suppressors",
    "switched",
    "synthgauss",
    "tables",
    "xai_tris",
]
