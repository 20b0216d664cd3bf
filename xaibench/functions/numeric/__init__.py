"""Functions of one number: families, formulas, interpreters, scores."""
