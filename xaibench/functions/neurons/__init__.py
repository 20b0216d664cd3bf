"""Synthetic neurons over words: generation, search for their concept, scores."""
