"""Types and protocols that every layer shares: problems, components, predictors, maskers, keys, storage."""
