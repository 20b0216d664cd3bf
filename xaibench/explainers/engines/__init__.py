"""What several explainers share: perturbed copies, coalitions, backward rules. Nothing registers here."""
