"""Data frames as numbers and back: what explainers see, and what the model is given."""
