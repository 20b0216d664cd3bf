"""Claims: published statements as tests on a store, with a verdict and what would change it."""
