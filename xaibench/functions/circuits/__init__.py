"""Circuits: compiled transformers whose wiring is known, methods that find edges, and scores of what they find."""
