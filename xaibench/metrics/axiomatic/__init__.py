"""Metrics of axioms that an explanation should satisfy."""
