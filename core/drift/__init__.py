"""Drift after go-live: what a locked model is given and answers, held against a signed baseline."""
