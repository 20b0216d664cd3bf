"""Which explanation can you trust? A harness that benchmarks explainers with evidence."""
