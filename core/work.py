"""The transaction: read, decide, sign, append, fold, enqueue, commit. Everything recorded passes here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, select

from audit import ledger, store, turn
from audit.entry import Entry, SignedBody, base64_text, body_to_sign, canonical, payload_to_sign, stream_of
from audit.ledger import Receipt
from audit.lookout import Glance
from audit.proofs import Checkpoint
from audit.signatures import Proof, Signer
from audit.vocabulary.access import PersonLockedOut
from audit.vocabulary.ledger import ActionRefused, ClockStepped
from audit.vocabulary.registry import SubjectText, word_of
from core import outbox, page, projection
from core.bodies import bodies_of, body_of, prove, rotates_the_log_key
from core.clock import BACK_LIMIT_US, Clock, from_words, in_words
from core.errors import (
    AppendingStopped,
    ClockUntrusted,
    NotAuthenticated,
    Refused,
    UnusableInput,
)
from core.ids import uuids7
from core.keyring import Keyring, standing_and_keys
from core.objects import ObjectStore, owner
from core.persons import KeyRow, active_kids
from core.policy.state import Actor, Decision
from core.proposal import Draft, Follow, Occasion, Proposal, Propose, Prover, View, as_tuple, release

LONGEST_TEXT = 4_000
HOUSE = Actor.of_service("house")
__all__ = [
    "Actor", "Desk", "Draft", "Occasion", "Proof", "Proposal", "Prover", "Receipt", "View", "Work", "release",
]


@dataclass(slots=True)
class Work:
    """One open transaction under the sequencer's lock."""

    desk: Desk
    session: Connection
    actor: Actor
    on_behalf_of: str | None = None
    entries: list[Entry] = field(default_factory=list)
    clock_confirmed: bool = False
    made: list[Entry] = field(default_factory=list)
    glance: Glance | None = None
    note: str | None = None
    recorded_before: dict[int, Receipt] = field(default_factory=dict)

    def acting_as(self, actor: Actor) -> Work:
        """The same transaction in another service's name; entries are shared."""
        return replace(self, actor=actor)

    @property
    def receipts(self) -> list[Receipt]:
        """Of each entry in order, once the transaction is finished."""
        note = self.note
        return [
            ledger.receipt_of(entry, note) if note is not None and entry.seq not in self.recorded_before
            else self.recorded_before[entry.seq]
            for entry in self.entries
        ]

    def record(
        self, event: Any, *, under: Decision, trial: str | None = None, reason: str | None = None,
        caused_by: str | None = None, on_behalf_of: str | None = None, key: str | None = None,
        proofs_by: tuple[Prover, ...] = (),
    ) -> Entry:
        """Append the service's own entry now, inside this transaction; folds have seen it when this returns.

        Args:
            key: the key of the house that signs, where it is not named as the actor is (`log`).
            proofs_by: further keys that sign the same words.
        """
        return self._record([event], under, trial=trial, reason=reason, caused_by=caused_by,
                            on_behalf_of=on_behalf_of, key=key, proofs_by=proofs_by)[0]

    def record_all(
        self, events: Sequence[Any], *, under: Decision, trial: str | None = None, reason: str | None = None,
        caused_by: str | None = None,
    ) -> list[Entry]:
        """The same for several events that one decision allows: the record and the signer are asked once for all.

        They are appended in order; their folds run when all are.
        """
        return self._record(events, under, trial=trial, reason=reason, caused_by=caused_by)

    def _record(
        self, events: Sequence[Any], under: Decision, *, trial: str | None, reason: str | None, caused_by: str | None,
        on_behalf_of: str | None = None, key: str | None = None, proofs_by: tuple[Prover, ...] = (),
    ) -> list[Entry]:
        if not under.allowed:
            raise Refused(under.because, rule=under.rule)
        if not events:
            return []
        holder = key or self.actor.user
        standing, keys = standing_and_keys(self.session, stream_of(word_of(events[0]).name, trial), holder)
        self._look_ahead()
        now = self.desk.clock.now()
        occasions = self.desk.occasions(len(events), now)
        last = standing.checkpoint
        origin = self.desk.origin_after(last)
        made = bodies_of(
            events, occasions, last, origin, actor=self.actor.user, role=under.role, rule=under.rule, trial=trial,
            reason=reason, caused_by=caused_by, on_behalf_of=on_behalf_of or self.on_behalf_of)
        if proofs_by:
            for body, _ in made:
                prove(body, proofs_by)
            made = [(body, canonical(body, "body")) for body, _ in made]
        signatures = self.desk.signer.attest_all(holder, [payload_to_sign(payload) for _, payload in made])
        return self._append([
            SignedBody(body, signature.kid, base64_text(signature.sig), payload)
            for (body, payload), signature in zip(made, signatures, strict=True)
        ], standing, now, keys, {occasion.id: event for occasion, event in zip(occasions, events, strict=True)})

    def append(self, signed: Sequence[SignedBody]) -> list[Entry]:
        """Append signed bodies, fold them and write their outbox rows. Raises ClockUntrusted (RECORD 2)."""
        first = signed[0].body
        stream = stream_of(first["action"], first.get("trial"))
        standing = store.standing(self.session, stream)
        self._look_ahead()
        return self._append(signed, standing, self.desk.clock.now())

    def _look_ahead(self) -> None:
        """The signer may look now: the lock is held, so what is committed stays what it is until the note is signed."""
        if not self.made:
            self.glance = self.desk.signer.look_ahead()

    def _append(
        self, signed: Sequence[SignedBody], standing: store.Standing, now: int, keys: Sequence[KeyRow] = (),
        events: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[Entry]:
        """`events`: by id, where the bodies were made from them here and now; `keys`: read together with `standing`.
        `now` was read once, under this lock: what is appended together has one time, each entry a microsecond after
        the one before."""
        if not self.entries and not self.clock_confirmed:
            self.desk.check_clock(standing.newest, now)
        keyring = Keyring(self.session, keys)
        for one in signed:
            keyring.check(one)
        given, made = ledger.append(self.session, signed, now=lambda: now, standing=standing, fresh=bool(events))
        self.entries.extend(given)
        self.made.extend(made)
        for entry in made:
            event = projection.apply(self.session, entry, events.get(entry.body["id"]))
            outbox.enqueue(self.session, entry.seq, event, entry.ts)
        return given

    def finish(self) -> None:
        """One checkpoint over all of it, for which there are then receipts."""
        signer = self.desk.signer
        if self.desk.continued_as is None:
            rotation = next((entry.raw for entry in self.entries if rotates_the_log_key(entry)), None)
            note = ledger.close(
                self.session, lambda size, leaves: signer.sign_checkpoint(size, leaves, rotation, self.glance),
                self.made)
        else:
            raws = [entry.raw for entry in self.entries]
            note = ledger.close(
                self.session, lambda covered, leaves: signer.sign_continuation(covered, raws), self.made)
        self.note = note
        if len(self.entries) != len(self.made):
            fresh = {entry.seq for entry in self.made}
            self.recorded_before = {entry.seq: ledger.receipt_for(self.session, entry)
                                    for entry in self.entries if entry.seq not in fresh}


@dataclass(slots=True)
class Desk:
    """Where deeds become entries: database, signer, clock and objects of one house.

    `continued_as` is the new origin while one commit continues the record after a loss (core/ledger_continuing.py);
    until that commit nothing else can be written, refusals included.
    """

    engine: Engine
    signer: Signer
    clock: Clock
    objects: ObjectStore
    stopped: Callable[[], str | None] = lambda: None
    continued_as: str | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view of the tables, nothing written: all questions see the record as the first one met it."""
        with store.connected(self.engine, "REPEATABLE READ") as session, session.begin():
            yield session

    @contextmanager
    def writing(self, *, at_once: bool = True) -> Iterator[Connection]:
        """A transaction that first takes the sequencer's lock (RECORD 2); `at_once` as for `turn.locked`. Raises
        AppendingStopped."""
        because = self.stopped()
        if because is not None:
            raise AppendingStopped(because)
        with turn.locked(self.engine, at_once=at_once) as session:
            yield session

    @contextmanager
    def working_tables(self) -> Iterator[Connection]:
        """The same lock for working tables (jobs, sessions, drafts) and read-models: no part of the record, so they go
        on while appending is stopped."""
        with turn.locked(self.engine) as session:
            yield session

    @contextmanager
    def open(self, actor: Actor, *, on_behalf_of: str | None = None, asked: str = "") -> Iterator[Work]:
        """A service's use case as one transaction; a Refused rolls back and becomes an entry itself."""
        try:
            with self.writing(at_once=False) as session:
                work = Work(self, session, actor, on_behalf_of)
                yield work
                work.finish()
        except Refused as refusal:
            self.record_refusal(on_behalf_of or actor.user, asked or "an act", refusal)
            raise

    def prepare(self, actor: Actor, propose: Propose, *, asked: str = "", then: Follow | None = None,
                occasion: Occasion | None = None) -> Proposal:
        """Complete bodies and views for a person to sign, on this `occasion` or now; `then` runs in the same commit."""
        occasion = occasion or self.occasion()
        try:
            with self.reading() as session:
                drafts = as_tuple(propose(session, occasion))
                for draft in drafts:
                    if not draft.under.allowed:
                        raise Refused(draft.under.because, rule=draft.under.rule)
                bodies = page.bodies(self, session, actor, occasion, drafts)
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
        return self.commit_together([(proposal, proof)])

    def commit_together(self, pages: Sequence[tuple[Proposal, Proof]]) -> Receipt:
        """The same for pages of several people that count only together: all in one commit, or none.

        Raises what `commit` raises; the receipt is that of the first page.
        """
        signed = [page.sign(self, proposal, proof) for proposal, proof in pages]
        proposal = pages[0][0]
        try:
            with self.writing() as session:
                earlier = store.entries_by_id(session, [body["id"] for body in proposal.bodies])
                if earlier:
                    return page.first_receipt(session, proposal, earlier)
                work = Work(self, session, HOUSE, on_behalf_of=proposal.actor.user)
                for (proposal, _), bodies in zip(pages, signed, strict=True):
                    if not {one.kid for one in bodies} <= active_kids(session, proposal.actor.user):
                        raise Refused("The key that signed is revoked or not enrolled.", rule="F-01")
                    page.check_again(self, session, proposal)
                for (proposal, _), bodies in zip(pages, signed, strict=True):
                    work.on_behalf_of = proposal.actor.user
                    work.append(bodies)
                    if proposal.then is not None:
                        proposal.then(work)
                work.finish()
        except Refused as refusal:
            self.record_refusal(proposal.actor.user, proposal.bodies[0]["action"], refusal)
            raise
        return work.receipts[0]

    def sign(
        self, actor: Actor, propose: Propose, proof: Proof, *, asked: str = "", then: Follow | None = None
    ) -> Receipt:
        """Prepare and commit in one go, for callers that have already shown the view."""
        return self.commit(self.prepare(actor, propose, asked=asked, then=then), proof)

    def check_clock(self, newest: bytes | None, now: int) -> None:
        """Refuse to append while the clock lies more than two seconds before the newest entry's own time."""
        if newest is None or _own_time(newest) <= in_words(now):  # these words sort as the times do
            return
        behind = from_words(_own_time(newest)) - now
        if behind > BACK_LIMIT_US:
            raise ClockUntrusted(f"The clock is {behind / 1e6:.0f} s behind the newest entry.")

    def _behind(self, newest: bytes | None) -> int:
        return from_words(_own_time(newest)) - self.clock.now() if newest else 0

    def confirm_clock(self, operator: Actor, under: Decision, because: str) -> Receipt:
        """An operator vouches for the clock as it stands; `clock.stepped` is the first entry after it (RECORD 2)."""
        self.clock.confirm()
        with self.writing() as session:
            work = Work(self, session, HOUSE, on_behalf_of=operator.user, clock_confirmed=True)
            newest = store.standing(session, "house").newest
            event = ClockStepped(microseconds=-self._behind(newest), because=because)
            work.record(event, under=Decision(under.allowed, under.rule, under.because, "service"))
            work.finish()
        return work.receipts[0]

    def record_refusal(self, person: str, asked: str, refusal: Refused) -> None:
        """`action.refused`, in its own transaction, once per actor, rule and minute; a stopped record takes none."""
        if self.continued_as is not None or self.stopped() is not None:
            return
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
        if failure.locked_until_us is None or self.continued_as is not None or self.stopped() is not None:
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
        return self.occasions(1, self.clock.now())[0]

    def occasions(self, many: int, at_us: int) -> list[Occasion]:
        """This instant, with a fresh id for each of so many events that happen in it."""
        at = in_words(at_us)
        return [Occasion(at_us, at, one) for one in uuids7(at_us, many)]

    def body(self, session: Connection, event: Any, **members: Any) -> dict[str, Any]:
        """The body of an entry on top of the last checkpoint, for the origin in force (core/bodies.py)."""
        last = store.last_checkpoint(session)
        return body_of(event, last, self.origin_after(last), **members)

    def origin_now(self, session: Connection) -> str:
        """The origin that entries are signed for: that of the last checkpoint, or the one a continuation brings."""
        return self.origin_after(store.last_checkpoint(session))

    def origin_after(self, last: Checkpoint | None) -> str:
        return self.continued_as or (last.origin if last else self.signer.origin)

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
                    prove(body, tuple(partial(self.signer.attest, one) if isinstance(one, str) else one
                                       for one in provers))
                signature = self.signer.attest("root", body_to_sign(body))
                work.append([SignedBody(body, signature.kid, base64_text(signature.sig))])
            work.finish()
        return work.receipts


def _own_time(entry: bytes) -> str:
    """`at` of a stored entry, in words."""
    at: str = orjson.loads(entry)["body"]["at"]
    return at


def _refused_this_minute(session: Connection, person: str, rule: str, now: int) -> bool:
    entries = store.entries
    rows = session.execute(
        select(entries.c.data).where(
            entries.c.action == "action.refused", entries.c.on_behalf_of == person,
            entries.c.ts >= now - now % 60_000_000,
        )
    )
    return any(Entry.parse(row.data).body["rule"] == rule for row in rows)
