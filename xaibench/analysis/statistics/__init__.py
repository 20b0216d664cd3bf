"""Statistics that know nothing of the harness: intervals, tests, rank correlation, letter displays."""
