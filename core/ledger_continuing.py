"""How a record goes on after a loss: under a new origin, by owner and QA with the root key, in one commit (RECORD 8).

What shows the loss is a checkpoint kept outside (by a witness, with a time stamp, on a receipt) that this record does
not lead to. Both entries and everything after them are signed for the new origin; no note under the old origin is
ever made again, so nobody meets two histories of one name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from audit import proofs, store
from audit.entry import base64_text, from_base64, kid_of
from audit.signatures import Proof
from audit.verifier import Note, note_signed_by, parse_note
from audit.vocabulary.ledger import LedgerContinued, LedgerStopped
from core.access.drafts import draft
from core.access.queries import standing
from core.errors import UnusableInput
from core.ledger_queries import SessionReader, former_origins
from core.persons import keys
from core.policy.decide import permit
from core.policy.state import Actor, Decision
from core.work import Desk, Draft, Occasion, Proposal, Propose, Receipt, View, Work

ACTION = "ledger.continue"
# The name of a C2SP note key has neither spaces nor plus signs; this is narrower, so that it can be read aloud.
ORIGIN = re.compile(r"[a-z0-9][a-z0-9._/:-]{2,118}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A checkpoint kept outside, beside this record: `lost` when this record does not lead to it."""

    known: Note
    text: str
    size: int
    root: bytes
    lost: bool
    signed_here: bool

    def in_words(self) -> str:
        if not self.lost:
            return f"The checkpoint of {self.known.size} entries is the beginning of this record of {self.size}."
        if self.known.size > self.size:
            return (f"{self.known.size} entries were known outside; this record holds {self.size}: "
                    f"{self.known.size - self.size} are missing.")
        return f"The {self.known.size} entries known outside are another history than the first of this record."


def compare_with(session: Connection, note_text: str) -> Comparison:
    """Hold a checkpoint kept outside against this record. Raises UnusableInput where it is no note of this record."""
    try:
        known = parse_note(note_text.encode())
    except ValueError as problem:
        raise UnusableInput(f"The checkpoint {problem}.", next_step="Give the note as it was kept.") from problem
    last = store.last_checkpoint(session)
    if last is None or known.origin != last.origin:
        here = last.origin if last else "empty"
        raise UnusableInput(f"The checkpoint is of {known.origin}; this record is {here}.",
                            next_step="Give a checkpoint of this record.")
    lost = known.size > last.size or proofs.root_at(store.StoredNodes(session), known.size) != known.root
    log_keys = session.execute(select(keys.c.public_key).where(keys.c.klass == "log")).scalars()
    signed = any(note_signed_by(known, known.origin, from_base64(key)) for key in log_keys)
    return Comparison(known, note_text, last.size, last.root, lost, signed)


@dataclass(frozen=True, slots=True)
class ContinueRecord:
    """The new origin, the checkpoint that shows the loss, and why."""

    origin: str
    note: str
    because: str


@dataclass(frozen=True, slots=True)
class Continuation:
    """Two pages that count only together."""

    desk: Desk
    pages: tuple[Proposal, Proposal]

    def commit(self, owner: Proof, qa: Proof) -> Receipt:
        """Record both, or nothing. Raises what Desk.commit raises."""
        return self.desk.commit_together(list(zip(self.pages, (owner, qa), strict=True)))


def continue_record(desk: Desk, owner: Actor, qa: Actor, command: ContinueRecord) -> Continuation:
    """What owner and QA are about to sign.

    Raises:
        Refused: one of them may not, or both are one person; a stopped record takes no note of it.
        UnusableInput: the origin cannot be used, or the checkpoint shows no loss.
    """
    because = desk.stopped()
    with desk.reading() as session:
        used = {name for name, _ in former_origins(SessionReader(session))} | {desk.origin_now(session)}
    if not ORIGIN.fullmatch(command.origin):
        raise UnusableInput(f"`{command.origin}` is no origin: 4 to 120 signs of a-z, 0-9 and . _ / : -, without "
                            "spaces.", next_step="Such as imaging.hospital.example/record-2.")
    if command.origin in used:
        raise UnusableInput(f"This record was already called {command.origin}.", next_step="Give a new origin.")
    continuing = replace(desk, stopped=lambda: None, continued_as=command.origin)

    def stopped_before(work: Work) -> None:
        if because is not None:
            work.record(LedgerStopped(because=because), under=Decision(
                True, "P-03", "A service of the house carries out what the rules let it.", "service"))

    first = continuing.prepare(owner, _page(desk, owner, command, None, None), asked=ACTION)
    second = continuing.prepare(qa, _page(desk, qa, command, first.id, owner.user), asked=ACTION, then=stopped_before)
    return Continuation(continuing, (first, second))


def _page(desk: Desk, actor: Actor, command: ContinueRecord, first: str | None, first_by: str | None) -> Propose:
    def propose(session: Connection, occasion: Occasion) -> Draft:
        relations = ({"first_signed"} if first else set()) | ({"signed_already"} if actor.user == first_by else set())
        decision = permit(actor, ACTION, standing(session, actor, None, ACTION, relations=relations))
        found = compare_with(session, command.note)
        if not found.lost:
            raise UnusableInput(f"{found.in_words()} Nothing is lost.",
                                next_step="Go on under the old origin: `countersign ledger resume`.")
        event = LedgerContinued(
            old_origin=found.known.origin, origin=command.origin, known_size=found.known.size,
            known_root=base64_text(found.known.root), known_note=command.note, restored_size=found.size,
            restored_root=base64_text(found.root), because=command.because, first=first)
        root = kid_of(desk.signer.public_key("root"))
        return draft(session, actor, event, decision, "approval", _view(found, command, first_by), ACTION,
                     proofs_by=((root, lambda message: desk.signer.attest("root", message)),))

    return propose


def _view(found: Comparison, command: ContinueRecord, first_by: str | None) -> View:
    signed = "yes" if found.signed_here else "no: its key came later than what is here, or the checkpoint was made up"
    return View("Continue the record under a new origin", "ledger-continued", (
        ("Origin until now", found.known.origin), ("Origin from here on", command.origin),
        ("Known outside", f"{found.known.size} entries, root {found.known.root.hex()}"),
        ("That checkpoint is signed by a log key of this record", signed),
        ("Here", f"{found.size} entries, root {found.root.hex()}"), ("What this means", found.in_words()),
        ("Receipts of the old origin that this record does not lead to", "are reported lost, not forged, for ever"),
        ("Why", command.because), *((("Signed first by", first_by),) if first_by else ()),
    ))
