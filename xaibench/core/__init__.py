"""The nouns that every part shares."""
