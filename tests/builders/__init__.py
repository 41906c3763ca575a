"""Builders of test worlds, one file a room."""
