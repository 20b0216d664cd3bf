"""Sanity checks: explanations must depend on the weights, the labels and the input."""
