"""Copies of a data set with a planted shortcut, for `xaibench certify`."""
