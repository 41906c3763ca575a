"""Claims about Countersign; a package of its own so that no installed `tests` can stand in front of it."""
