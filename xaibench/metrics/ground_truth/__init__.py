"""Metrics against a known truth: masks, weights, relative importance."""
