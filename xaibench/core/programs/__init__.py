"""Functions that are interpreted: black boxes, counted questions, programs and their evaluation."""
