"""Superposition: autoencoders with fewer hidden units than features, and which of the features they represent."""
