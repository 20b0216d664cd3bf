"""Dictionaries of features: worlds of known features in superposition, sparse autoencoders, and their placebos."""
