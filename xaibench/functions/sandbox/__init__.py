"""Running programs of unknown origin in a confined process."""
