"""What analysis found, for people to read. Nothing here prints: the command line does."""
