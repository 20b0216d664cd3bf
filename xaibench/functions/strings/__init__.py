"""String functions: primitives, a set of functions, interpreters and scores."""
