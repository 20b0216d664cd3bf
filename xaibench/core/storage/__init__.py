"""Files: atomic writes, locks, paths, caches and processes that hold them."""
