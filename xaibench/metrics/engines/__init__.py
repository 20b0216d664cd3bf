"""What several metrics share that evaluates the model: perturbation, removal, noisy copies. Nothing registers here."""
