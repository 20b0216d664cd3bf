"""Maskers: what stands in for a feature that is removed."""
