"""Arithmetic on attribution maps that several metrics share. Nothing registers here."""
