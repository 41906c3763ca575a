"""Why a home appends nothing: a witness saw another history, or nobody compared a restored copy yet (RECORD 3, 8).

Two small files in the home say so, in words for whoever looks there. STOPPED also keeps the checkpoint that was seen
outside. They go when appending goes on, and `ledger.stopped` then says in the record that they were there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from audit import store
from audit.ledger import Receipt
from audit.vocabulary.ledger import LedgerStopped
from core.access.queries import standing
from core.errors import AppendingStopped, DiskFull, DiskReadOnly, RecordDamaged, UnusableInput
from core.incidents.effects import destroy_again
from core.ledger_continuing import Comparison, Continuation, ContinueRecord, compare_with, continue_record
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.privacy.effects import reapply
from core.work import Desk, Work
from countersign.settings import write_settings
from countersign.signer.keyfiles import write_durably

if TYPE_CHECKING:
    from countersign.house import House

STOPPED, RESTORED = "STOPPED", "RESTORED"


@dataclass(frozen=True, slots=True)
class Standstill:
    """The two files of one home."""

    home: Path

    def because(self) -> str | None:
        """Why nothing is appended, or None."""
        for name in (STOPPED, RESTORED):
            # Asked before each commit: a Path, and the exception below it where nothing is, cost more than the look.
            if os.access(f"{self.home}/{name}", os.F_OK):
                return (self.home / name).read_text().partition("\n\n")[0].strip()
        return None

    def note(self) -> str | None:
        """The checkpoint that was seen outside, where there is one."""
        path = self.home / STOPPED
        text = path.read_text().partition("\n\n")[2] if path.exists() else ""
        return text or None

    @property
    def restored(self) -> bool:
        """Whether this is a restored copy that nobody has compared yet."""
        return (self.home / RESTORED).exists()

    def stop(self, because: str, note: str = "") -> None:
        """Append nothing from now on: a witness or a checkpoint kept outside shows another history."""
        write_durably(self.home / STOPPED, f"{because.strip()}\n\n{note}".encode())

    def lift(self) -> None:
        """Appending goes on."""
        for name in (STOPPED, RESTORED):
            (self.home / name).unlink(missing_ok=True)


def lift(house: House, how: str, under: Decision, *, on_behalf_of: str | None = None) -> Receipt | None:
    """Let appending go on and record that it stood still. None where it did not."""
    because = house.standstill.because()
    if because is None:
        return None
    desk = _unstopped(house.desk)
    with desk.writing() as session:
        work = Work(desk, session, Actor.of_service("house"), on_behalf_of=on_behalf_of)
        work.record(LedgerStopped(because=f"{because} {how}"), under=under)
        work.finish()
    # After the commit: a crash in between leaves the home stopped, and the same command lifts it.
    house.standstill.lift()
    # A copy may be older than an erasure: it is carried out again before anything else is done (RECORD 6).
    reapply(house.desk)
    destroy_again(house.desk)
    return work.receipts[0]


def resume(house: House, actor: Actor, because: str, notes: list[str]) -> Receipt:
    """A person compared this record with what is known outside, and it may go on under its own name.

    Raises:
        Refused: the person may not.
        AppendingStopped: a checkpoint goes beyond this record; it is kept, and only a continuation heals it.
        UnusableInput: nothing stands still, or the newest checkpoint that is known to be held outside was not given.
    """
    still = house.standstill
    if still.because() is None:
        raise UnusableInput("Appending is not stopped.", next_step="There is nothing to resume.")
    kept = still.note()
    with house.desk.reading() as session:
        decision = permit(actor, "ledger.resume", standing(session, actor, None, "ledger.resume"))
        compared = [compare_with(session, text) for text in (*notes, *([kept] if kept else ()))]
        outside = _known_outside(session)
    for one in compared:
        if one.lost and not one.signed_here:
            raise UnusableInput(f"{one.in_words()} But no log key of this record signed that checkpoint.",
                                next_step="If its key came later than this copy, it is for `ledger continue --note`.")
        if one.lost:
            still.stop(one.in_words(), one.text)
            raise AppendingStopped(one.in_words(), next_step=_continue_step())
    if outside > max((one.known.size for one in compared), default=0):
        raise UnusableInput(
            f"A witness or time stamp held {outside} entries of this record when the copy was made, and may know more.",
            next_step="Ask the witness (`countersign ledger cosign`), or give its newest checkpoint with --note FILE.")
    seen = " ".join(one.in_words() for one in compared) or "Nothing outside holds a checkpoint of this record."
    under = Decision(True, decision.rule, decision.because, "service")
    receipt = lift(house, f"{seen} {because}", under, on_behalf_of=actor.user)
    if receipt is None:
        raise UnusableInput("Appending is not stopped.", next_step="There is nothing to resume.")
    return receipt


def prepare_continuation(
    house: House, owner: Actor, qa: Actor, *, origin: str, note: str | None, because: str
) -> Continuation:
    """What owner and QA sign; `note` is the checkpoint that shows the loss, else the one kept in STOPPED.

    Raises what continue_record raises, and UnusableInput where no checkpoint shows a loss.
    """
    note = note or house.standstill.note()
    if not note:
        raise UnusableInput("No checkpoint shows that anything is lost.",
                            next_step="Give the newest checkpoint known outside with --note FILE.")
    return continue_record(house.desk, owner, qa, ContinueRecord(origin, note, because))


def follow_origin(house: House) -> None:
    """Let files follow the record after it was continued: no standstill, settings that name the new origin.

    The record is first: a crash after its commit is made good when the home is next opened. A home that cannot be
    written keeps its files and is read under the name that the record bears.
    """
    origin = house.signer.origin
    if origin == house.settings.origin:
        return
    house.settings = replace(house.settings, origin=origin)
    try:
        house.standstill.lift()
        write_settings(house.settings)
    except (OSError, DiskFull, DiskReadOnly):
        return


def loss_of(session: Connection, note: str) -> Comparison | None:
    """What the kept checkpoint shows, or None where it cannot be read as one of this record."""
    try:
        return compare_with(session, note)
    except (UnusableInput, RecordDamaged):
        return None


def _unstopped(desk: Desk) -> Desk:
    return replace(desk, stopped=lambda: None)


def _known_outside(session: Connection) -> int:
    sizes = [session.execute(select(func.max(table.c.size))).scalar() for table in (store.cosignatures, store.anchors)]
    return max(size or 0 for size in sizes)


def _continue_step() -> str:
    return ("Nothing can be appended under the old origin. Owner and QA go on together under a new one: "
            "`countersign ledger continue --origin NEW`.")
