"""The API of one outside system each; no decisions."""
