"""Scores that rate descriptions of neurons, themselves under test: descriptions with known mistakes."""
