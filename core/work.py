"""The transaction: read, decide, sign, append, fold, enqueue, commit. Everything recorded passes here."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, select

from audit import ledger, store
from audit.entry import SUITE, Entry, SignedBody, base64_text, body_to_prove, body_to_sign, canonical
from audit.ledger import Receipt
from audit.proofs import EMPTY_ROOT
from audit.signatures import MEANINGS, Proof, Signature, Signer
from audit.vocabulary.access import PersonLockedOut
from audit.vocabulary.ledger import ActionRefused, ClockStepped
from audit.vocabulary.registry import SubjectText, fields_of, word_of
from core import outbox, projection
from core.clock import BACK_LIMIT_US, Clock, from_words, in_words
from core.errors import ClockUntrusted, NotAuthenticated, RecordDamaged, Refused, Stale, UnusableInput
from core.ids import uuid7
from core.objects import VIEW, ObjectStore, owner
from core.persons import active_kids, person_named
from core.policy.state import Actor, Decision

DRAFT_LIFE_US = 15 * 60 * 1_000_000
# Waiting for the lock must not push the time of record past the time that a signature may lie before it.
LOCK_MARGIN_US = 5_000_000
LONGEST_TEXT = 4_000
HOUSE = Actor.of_service("house")
__all__ = ["Actor", "Desk", "Draft", "Occasion", "Proof", "Proposal", "Receipt", "View", "Work"]


def release() -> str:
    """The version of this software as signatures name it."""
    try:
        return importlib.metadata.version("countersign")
    except importlib.metadata.PackageNotFoundError:
        return "0.1.0"


@dataclass(frozen=True, slots=True)
class View:
    """Everything a person is shown before signing: lines of label and value; rendered from this alone."""

    title: str
    template: str
    lines: tuple[tuple[str, str], ...]

    def document(self) -> bytes:
        """The JCS bytes whose digest goes into the signature."""
        lines = [{"label": label, "value": value} for label, value in self.lines]
        return canonical({"title": self.title, "template": self.template, "lines": lines, "release": release()}, "view")


@dataclass(frozen=True, slots=True)
class Occasion:
    """The fixed instant and id of a signature in preparation; documents made for it use these (RECORD 4)."""

    at_us: int
    at: str
    id: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person is about to sign. `subject` is whom it concerns, where the event itself does not name one; empty
    where it names one and its view says nothing that erasure should reach."""

    event: Any
    under: Decision
    meaning: str
    view: View
    trial: str | None = None
    reason: str | None = None
    scope: str | None = None
    caused_by: str | None = None
    trainings: tuple[str, ...] = ()
    delegation: str | None = None
    subject: str | None = None
    proofs_by: tuple[tuple[str, Callable[[bytes], Signature]], ...] = ()

    @property
    def owner(self) -> str | None:
        """Under whose key the view is kept: that of the subject it concerns; None for what concerns no subject."""
        subject = getattr(self.event, "subject", None) if self.subject is None else self.subject
        return owner(self.trial, subject) if self.trial and subject else None


Prover = Callable[[bytes], Signature]
Propose = Callable[[Connection, Occasion], Draft | Sequence[Draft]]
Follow = Callable[["Work"], None]


@dataclass(slots=True)
class Proposal:
    """A page ready to be signed: complete bodies and the views they rest on."""

    actor: Actor
    occasion: Occasion
    drafts: tuple[Draft, ...]
    bodies: tuple[dict[str, Any], ...]
    propose: Propose
    then: Follow | None = None

    @property
    def id(self) -> str:
        return self.occasion.id

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(draft.view for draft in self.drafts)


@dataclass(slots=True)
class Work:
    """One open transaction under the sequencer's lock."""

    desk: Desk
    session: Connection
    actor: Actor
    on_behalf_of: str | None = None
    entries: list[Entry] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    clock_confirmed: bool = False

    def record(
        self, event: Any, *, under: Decision, trial: str | None = None, reason: str | None = None,
        caused_by: str | None = None, on_behalf_of: str | None = None,
    ) -> Entry:
        """Append the service's own entry now, inside this transaction; folds have seen it when this returns."""
        if not under.allowed:
            raise Refused(under.because, rule=under.rule)
        body = self.desk.body(
            self.session, event, actor=self.actor.user, role=under.role, rule=under.rule,
            occasion=self.desk.occasion(), trial=trial, reason=reason, caused_by=caused_by,
            on_behalf_of=on_behalf_of or self.on_behalf_of,
        )
        signature = self.desk.signer.attest(self.actor.user, body_to_sign(body))
        return self.append([SignedBody(body, signature.kid, base64_text(signature.sig))])[0]

    def append(self, signed: Sequence[SignedBody]) -> list[Entry]:
        """Append signed bodies, fold them and write their outbox rows. Raises ClockUntrusted (RECORD 2)."""
        if not self.entries and not self.clock_confirmed:
            self.desk.check_clock(self.session)
        given, made = ledger.append(self.session, signed, now=self.desk.clock.now)
        self.entries.extend(given)
        for entry in made:
            event = projection.apply(self.session, entry)
            outbox.enqueue(self.session, entry.seq, event, entry.ts)
        return given

    def finish(self) -> None:
        """One checkpoint over all of it, then the receipts."""
        ledger.close(self.session, self.desk.signer.sign_checkpoint)
        self.receipts = [ledger.receipt_for(self.session, entry) for entry in self.entries]


@dataclass(slots=True)
class Desk:
    """Where deeds become entries: database, signer, clock and objects of one house."""

    engine: Engine
    signer: Signer
    clock: Clock
    objects: ObjectStore
    stopped: Callable[[], str | None] = lambda: None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view of the tables, nothing written."""
        with self.engine.connect() as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that first takes the sequencer's lock (RECORD 2). Raises RecordDamaged when stopped."""
        because = self.stopped()
        if because is not None:
            raise RecordDamaged(f"Appending is stopped: {because}")
        with self.engine.connect().execution_options(countersign_write=True) as session, session.begin():
            store.lock(session)
            yield session

    @contextmanager
    def working_tables(self) -> Iterator[Connection]:
        """A short write to working tables (jobs, sessions, drafts), which are no part of the record."""
        with self.writing() as session:
            yield session

    @contextmanager
    def open(self, actor: Actor, *, on_behalf_of: str | None = None, asked: str = "") -> Iterator[Work]:
        """A service's use case as one transaction; a Refused rolls back and becomes an entry itself."""
        try:
            with self.writing() as session:
                work = Work(self, session, actor, on_behalf_of)
                yield work
                work.finish()
        except Refused as refusal:
            self.record_refusal(on_behalf_of or actor.user, asked or "an act", refusal)
            raise

    def prepare(self, actor: Actor, propose: Propose, *, asked: str = "", then: Follow | None = None) -> Proposal:
        """Complete bodies and views for a person to sign; `then` runs in the same transaction after the signature."""
        occasion = self.occasion()
        try:
            with self.reading() as session:
                drafts = _as_tuple(propose(session, occasion))
                for draft in drafts:
                    if not draft.under.allowed:
                        raise Refused(draft.under.because, rule=draft.under.rule)
                bodies = tuple(
                    self._personal_body(session, actor, draft, self._part(occasion, index))
                    for index, draft in enumerate(drafts)
                )
        except Refused as refusal:
            self.record_refusal(actor.user, asked or "an act", refusal)
            raise
        return Proposal(actor, occasion, drafts, bodies, propose, then)

    def commit(self, proposal: Proposal, proof: Proof) -> Receipt:
        """Sign the page with the person's key, ask everything again under the lock, and record it.

        Raises:
            NotAuthenticated: password or code is wrong; counted and recorded, nothing signed.
            Stale: the facts, rule or view changed since the page was shown, or it is older than 15 minutes.
        """
        actor = proposal.actor
        if self.clock.now() - proposal.occasion.at_us > DRAFT_LIFE_US:
            raise Stale("The page was shown more than 15 minutes ago.")
        for draft in proposal.drafts:
            if draft.owner is None:
                self.objects.put(draft.view.document(), VIEW)
        messages = [body_to_sign(body) for body in proposal.bodies]
        try:
            signatures = self.signer.sign_page(actor.user, proof, messages)
        except NotAuthenticated as failure:
            self.record_failed_proof(actor.user, f"sign {proposal.bodies[0]['action']}", failure)
            raise
        signed = [
            SignedBody(body, signature.kid, base64_text(signature.sig))
            for body, signature in zip(proposal.bodies, signatures, strict=True)
        ]
        try:
            with self.writing() as session:
                earlier = store.entry_by_id(session, proposal.bodies[0]["id"])
                if earlier is not None:
                    return ledger.receipt_for(session, earlier)
                if not {one.kid for one in signed} <= active_kids(session, actor.user):
                    raise Refused("The key that signed is revoked or not enrolled.", rule="F-01")
                self._still_fresh(session, proposal)
                self._ask_again(session, proposal)
                work = Work(self, session, HOUSE, on_behalf_of=actor.user)
                work.append(signed)
                if proposal.then is not None:
                    proposal.then(work)
                work.finish()
        except Refused as refusal:
            self.record_refusal(actor.user, proposal.bodies[0]["action"], refusal)
            raise
        return work.receipts[0]

    def sign(
        self, actor: Actor, propose: Propose, proof: Proof, *, asked: str = "", then: Follow | None = None
    ) -> Receipt:
        """Prepare and commit in one go, for callers that have already shown the view."""
        return self.commit(self.prepare(actor, propose, asked=asked, then=then), proof)

    def _still_fresh(self, session: Connection, proposal: Proposal) -> None:
        """Under the lock: what the bodies say of time and of what was seen must still hold when they are recorded."""
        if self.clock.now() - proposal.occasion.at_us > DRAFT_LIFE_US - LOCK_MARGIN_US:
            raise Stale("The page was shown more than 15 minutes ago.")
        entries = store.entries
        last = session.execute(
            select(entries.c.data).where(entries.c.actor == proposal.actor.user).order_by(entries.c.seq.desc()).limit(1)
        ).scalar()
        # A head never falls for one key (RECORD 3): an older page of the same person would break the record.
        if last is not None and Entry.parse(last).body["head"]["size"] > proposal.bodies[0]["head"]["size"]:
            raise Stale("You signed another page since this one was opened.")

    def _ask_again(self, session: Connection, proposal: Proposal) -> None:
        now = _as_tuple(proposal.propose(session, proposal.occasion))
        same = len(now) == len(proposal.drafts) and all(
            fields_of(new.event) == fields_of(old.event)
            and type(new.event) is type(old.event)
            and (new.under.allowed, new.under.rule, new.under.role) == (True, old.under.rule, old.under.role)
            and new.view.document() == old.view.document()
            and (new.trial, new.reason, new.meaning) == (old.trial, old.reason, old.meaning)
            for new, old in zip(now, proposal.drafts, strict=False)
        )
        if not same:
            raise Stale("What was shown has changed since the page was opened.")

    def check_clock(self, session: Connection) -> None:
        """Refuse to append while the clock lies more than two seconds before the newest entry's own time."""
        behind = self._behind(session)
        if behind > BACK_LIMIT_US:
            raise ClockUntrusted(f"The clock is {behind / 1e6:.0f} s behind the newest entry.")

    def _behind(self, session: Connection) -> int:
        size, _ = store.head(session)
        newest = store.entry_at(session, size - 1) if size else None
        return from_words(newest.body["at"]) - self.clock.now() if newest else 0

    def confirm_clock(self, operator: Actor, under: Decision, because: str) -> Receipt:
        """An operator vouches for the clock as it stands; `clock.stepped` is the first entry after it (RECORD 2)."""
        self.clock.confirm()
        with self.writing() as session:
            work = Work(self, session, HOUSE, on_behalf_of=operator.user, clock_confirmed=True)
            event = ClockStepped(microseconds=-self._behind(session), because=because)
            work.record(event, under=Decision(under.allowed, under.rule, under.because, "service"))
            work.finish()
        return work.receipts[0]

    def record_refusal(self, person: str, asked: str, refusal: Refused) -> None:
        """`action.refused`, in a transaction of its own, once per actor, rule and minute."""
        with self.writing() as session:
            now = self.clock.now()
            if _refused_this_minute(session, person, refusal.rule, now):
                return
            work = Work(self, session, HOUSE, on_behalf_of=person)
            work.record(
                ActionRefused(asked=asked, because=refusal.fact),
                under=Decision(True, refusal.rule, refusal.fact, "service"),
            )
            work.finish()

    def record_failed_proof(self, person: str, asked: str, failure: NotAuthenticated) -> None:
        """A wrong password or code is an entry at once, and so is the lock-out that follows (21 CFR 11.300(d))."""
        self.record_refusal(person, asked, Refused(failure.fact, rule="F-00"))
        if failure.locked_until_us is None:
            return
        with self.writing() as session:
            work = Work(self, session, HOUSE, on_behalf_of=person)
            locked = PersonLockedOut(
                user=person, failures=failure.failures, until=in_words(failure.locked_until_us)
            )
            work.record(locked, under=Decision(True, "F-00", failure.fact, "service"))
            work.finish()

    def conceal(self, text: str | None, trial: str, subject: str, occasion: Occasion) -> SubjectText | None:
        """Free text about a subject, encrypted for the entry of this occasion; None where nothing is said.

        Raises UnusableInput where it is too long, SubjectErased where the subject's key was destroyed.
        """
        if text is None or not text.strip():
            return None
        if len(text) > LONGEST_TEXT:
            raise UnusableInput(f"A text about a subject has at most {LONGEST_TEXT} characters; this has {len(text)}.")
        return self.objects.keys.seal_text(owner(trial, subject), occasion.id, text.strip())

    def occasion(self) -> Occasion:
        """This instant and a fresh id."""
        at_us = self.clock.now()
        return Occasion(at_us, in_words(at_us), uuid7(at_us))

    @staticmethod
    def _part(occasion: Occasion, index: int) -> Occasion:
        """The id of the n-th body of a page; the first keeps the page's own."""
        if index == 0:
            return occasion
        noise = hashlib.sha256(f"{occasion.id}/{index}".encode()).digest()[:10]
        return Occasion(occasion.at_us, occasion.at, uuid7(occasion.at_us, random=noise))

    def body(
        self, session: Connection, event: Any, *, actor: str, role: str, rule: str, occasion: Occasion,
        **sometimes: Any,
    ) -> dict[str, Any]:
        """A complete body of RECORD 1; members that do not apply are left out."""
        word = word_of(event)
        last = store.last_checkpoint(session)
        head = {"size": last.size if last else 0, "root": base64_text(last.root if last else EMPTY_ROOT)}
        always = {
            "action": word.name, "version": word.version, "type": SUITE, "actor": actor, "at": occasion.at,
            "head": head, "id": occasion.id, "log": self.signer.origin, "role": role, "rule": rule,
            "fields": fields_of(event),
        }
        return always | {key: value for key, value in sometimes.items() if value is not None}

    def _personal_body(self, session: Connection, actor: Actor, draft: Draft, occasion: Occasion) -> dict[str, Any]:
        if draft.meaning not in MEANINGS:
            raise ValueError(f"{draft.meaning!r} is no meaning of a signature.")
        person = person_named(session, actor.user)
        manifest: dict[str, Any] = {
            "printed_name": person.printed_name, "meaning": draft.meaning, "record_type": word_of(draft.event).name,
            "record_digest": hashlib.sha256(canonical(fields_of(draft.event), "fields")).hexdigest(),
            "view_digest": hashlib.sha256(draft.view.document()).hexdigest(),
            "trainings": list(draft.trainings), "local_offset": person.local_offset,
            "auth": {"factors": list(self.signer.factors_of(actor.user)), "component": "first", "age_s": 0},
            "release": release(),
        }
        if draft.owner is not None:
            # Named by the digest of its ciphertext, so the signature says where the view lies (RECORD 1, 6).
            manifest["view"] = fields_of(self.objects.put(draft.view.document(), VIEW, subject=draft.owner))
        manifest |= {
            key: value for key, value in (("scope", draft.scope), ("delegation", draft.delegation)) if value
        }
        body = self.body(
            session, draft.event, actor=actor.user, role=draft.under.role, rule=draft.under.rule, occasion=occasion,
            trial=draft.trial, reason=draft.reason, caused_by=draft.caused_by, manifest=manifest,
        )
        if draft.proofs_by:
            message = body_to_prove(body)
            given = [(kid, prove(message)) for kid, prove in draft.proofs_by]
            body["proofs"] = [{"kid": kid, "sig": base64_text(signature.sig)} for kid, signature in given]
        return body

    def record_as_root(
        self, drafts: Sequence[tuple[Any, tuple[str | Prover, ...]]], *, rule: str = "founding",
        trial: str | None = None,
    ) -> list[Receipt]:
        """Entries by the root key, only for `init`; each may ask further keys for proofs: of the house by holder,
        a person's by what that person's unlocked key answers."""
        with self.writing() as session:
            work = Work(self, session, HOUSE)
            for event, provers in drafts:
                body = self.body(
                    session, event, actor="installation", role="service", rule=rule, occasion=self.occasion(),
                    trial=trial,
                )
                if provers:
                    message = body_to_prove(body)
                    given = [self.signer.attest(one, message) if isinstance(one, str) else one(message)
                             for one in provers]
                    body["proofs"] = [{"kid": one.kid, "sig": base64_text(one.sig)} for one in given]
                signature = self.signer.attest("root", body_to_sign(body))
                work.append([SignedBody(body, signature.kid, base64_text(signature.sig))])
            work.finish()
        return work.receipts


def _as_tuple(drafts: Draft | Sequence[Draft]) -> tuple[Draft, ...]:
    return (drafts,) if isinstance(drafts, Draft) else tuple(drafts)


def _refused_this_minute(session: Connection, person: str, rule: str, now: int) -> bool:
    entries = store.entries
    rows = session.execute(
        select(entries.c.data).where(
            entries.c.action == "action.refused", entries.c.on_behalf_of == person,
            entries.c.ts >= now - now % 60_000_000,
        )
    )
    return any(Entry.parse(row.data).body["rule"] == rule for row in rows)
