"""What several test modules share: builders, fixtures' parts, synthetic results, fake clusters."""
