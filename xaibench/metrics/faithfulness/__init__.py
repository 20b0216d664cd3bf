"""Metrics of whether the features that an explanation names matter to the model."""
