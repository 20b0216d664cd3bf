"""Language models as interpreters."""
