"""Metrics of how much an explanation changes when its input or training hardly does."""
