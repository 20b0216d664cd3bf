"""Audit of the metrics themselves: how far each of their scores can be trusted."""
