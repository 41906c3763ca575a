"""Looks through the whole record now and then, so that every page can say when it last agreed."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from core.errors import CountersignError
from core.gates.usecases import suspend_for
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from core.work import Desk

EVERY_S = 600


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of the last look. `fault` is None where the record agreed."""

    at_us: int
    entries: int
    fault: str | None
    fault_seq: int | None = None


class Watch:
    """One look after the other in a thread of its own; `last` is None before the first has ended."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.last: Finding | None = None

    def look(self) -> Finding:
        """Check everything now. A check that cannot be carried out counts as a fault."""
        at_us = self._desk.clock.now()
        try:
            with self._desk.reading() as session:
                check = check_store(SessionReader(session), self._desk.origin_now(session))
        except Exception as problem:
            logging.getLogger(__name__).exception("the record could not be checked")
            self.last = Finding(at_us, 0, f"It could not be checked: {type(problem).__name__}.")
            return self.last
        first = check.first
        if first is not None:
            self._suspend()
        self.last = Finding(at_us, check.entries, first.in_words() if first else None, first.seq if first else None)
        return self.last

    def _suspend(self) -> None:
        """The ledger does not verify: AI stops in every trial (TRIAL 2), and human work goes on."""
        try:
            suspend_for(self._desk, "ledger_failure")
        except CountersignError:
            # A record that is stopped altogether takes no entry; nothing of AI is recorded then either.
            logging.getLogger(__name__).exception("gates could not be suspended")

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(EVERY_S)
