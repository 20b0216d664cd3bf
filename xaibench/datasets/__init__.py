"""Data sets: loaders and generators. Importing this package registers them."""

from xaibench.datasets import images, planted, tables

__all__ = ["images", "planted", "tables"]
