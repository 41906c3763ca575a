"""Corrections: what stood in the wrong place is taken out of it, written anew where it belongs, and told to others."""
