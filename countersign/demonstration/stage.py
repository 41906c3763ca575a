"""Progress, signing and the final table of the demonstration."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from core.errors import CountersignError, Refused
from core.work import Desk, Proposal, Receipt
from countersign.demonstration.cast import Pockets
from countersign.house import House


class DemonstrationFailed(Exception):
    """Something that had to happen did not; the demonstration ends with a failure."""


@dataclass(slots=True)
class Stage:
    """The house on stage: who signs with what, what was made, and what is said while it happens."""

    house: House
    pockets: Pockets
    folder: Path
    out: TextIO = sys.stdout
    started: float = field(default_factory=time.monotonic)
    made: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        return self.house.desk

    def say(self, text: str) -> None:
        """One line of progress with the seconds since the start."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", file=self.out, flush=True)

    @contextmanager
    def scene(self, title: str) -> Iterator[None]:
        """A part of the story, timed."""
        begun = time.monotonic()
        self.say(f"── {title}")
        yield
        self.say(f"   {title}: {time.monotonic() - begun:.1f} s")

    def signed(self, proposal: Proposal) -> Receipt:
        """The proposal's own person signs it with their password and next code."""
        return self.desk.commit(proposal, self.pockets.proof(proposal.actor.user))

    def refused(self, what: str, attempt: Callable[[], Any], *, expect: type[CountersignError] = Refused) -> str:
        """An act that must be refused; it is an error of the demonstration if it is not."""
        try:
            attempt()
        except expect as error:
            self.refusals.append((what, error.fact))
            self.say(f"   refused as it must be: {what}: {error.fact}")
            return error.fact
        raise DemonstrationFailed(f"{what} was not refused.")

    def must(self, holds: bool, claim: str) -> None:
        """A claim the demonstration makes about its own result."""
        if not holds:
            raise DemonstrationFailed(f"Not true: {claim}.")

    def note(self, what: str, value: object) -> None:
        """A row of the final table."""
        self.made.append((what, str(value)))

    def table(self) -> str:
        """What was made, aligned."""
        width = max(len(what) for what, _ in self.made)
        return "\n".join(f"  {what:<{width}}  {value}" for what, value in self.made)
