"""Training-data attribution: which training rows an output of a fitted regression is due to."""
