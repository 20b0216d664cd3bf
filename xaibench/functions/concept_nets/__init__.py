"""Concept importance: analytic nets whose concept directions and effects are known, and concept activation vectors."""
