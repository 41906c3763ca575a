"""The rights of subjects: restriction, erasure, and what no longer opens."""
