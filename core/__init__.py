"""What every trial has: policy, work, access, trials, arrival, reads, cohort, gates."""
