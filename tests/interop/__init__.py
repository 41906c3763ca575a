"""Counterparts that others wrote, run for real."""
