"""How the shipped network was made: script, split and what it measured while tuning."""
