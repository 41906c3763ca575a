"""Whether this is a long run (`make long`): thousands of random ledgers, hundreds of killed writers, fresh seeds."""

from __future__ import annotations

import os
import random

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "night"


def first_seed() -> int:
    """By day always the same; in a long run a fresh one, unless COUNTERSIGN_SEED repeats an earlier run."""
    return int(os.environ.get("COUNTERSIGN_SEED") or (random.SystemRandom().randrange(1, 10**9) if LONG else 1))
