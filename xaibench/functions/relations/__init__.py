"""Relations between entities: catalogue, interpreters, scores."""
