"""Certificates: which explainers show a planted shortcut, from which reliance of the model on."""
