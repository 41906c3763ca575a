"""A model server that attests: one that others wrote, started from a copy that was hashed, behind a small proxy."""
