"""The end of a trial's data: cut, soft lock, lock, unlock; sealed allocation and unblinding (TRIAL 3)."""
