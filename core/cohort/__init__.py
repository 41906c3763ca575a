"""From an AI candidate flag to a coordinator's signed selection."""
