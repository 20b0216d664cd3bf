"""Metrics: functions from an `Evaluation` to one score per sample. A module's folder is the family of its metrics.

The registry imports every module below; a component needs its file and nothing else.
"""
