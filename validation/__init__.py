"""Proof that the system and its models fit their use: requirements, protocols, statistics, the runner, traceability."""
