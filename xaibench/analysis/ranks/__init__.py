"""Ranks over several problems: relative ranks, overall ranks, agreement of metrics, critical differences."""
