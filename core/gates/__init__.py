"""What AI may be used for in a trial today, and who signed for it."""
