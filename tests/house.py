"""A whole installation for a test; on its way out it verifies the ledger and compares rebuilt with live tables."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyotp

from audit import proofs, store
from audit.entry import base64_text, body_to_sign, from_base64, kid_of
from audit.signatures import signature_is_valid
from audit.vocabulary.access import (
    AccountabilityStated,
    IdentityChecked,
    InstallationFounded,
    InstallationOpened,
    PersonRegistered,
    RoleGranted,
)
from audit.vocabulary.ledger import KeyEnrolled
from core import outbox
from core.access.rules import STATEMENT
from core.policy.state import Actor, Decision
from core.proposal import Propose
from core.reads.seal_keys import enrol_recovery_key
from core.work import Desk, Draft, Proof, Receipt, View
from countersign.house import House, found_house, open_house
from countersign.settings import Settings, sqlite_url
from tests.clocks import SetClock
from tests.passkeys import PAGE

PASSWORD = "a long enough signing password"
ORIGIN = "countersign.example/test"


class HouseUnderTest:
    """`desk`, `clock`, people with their own keys, and what the ledger says."""

    def __init__(
        self, folder: Path, database_url: str | None = None, *, founding: bool = False,
        signer_socket: Path | None = None, pages: str = PAGE,
    ) -> None:
        self.clock = SetClock()
        self.home = folder / "home"
        settings = Settings(
            home=self.home, origin=ORIGIN, database_url=database_url or sqlite_url(self.home),
            password_memory_kib=64, password_passes=1, password_lanes=1,
            signer_socket=str(signer_socket) if signer_socket else None, passkey_origin=pages,
        )
        self.house: House = found_house(settings, clock=self.clock)
        self.secrets: dict[str, str] = {}
        self.counters: dict[str, int] = {}
        self.shares: tuple[str, str] | None = None
        self.put_away = False
        if not founding:
            self._open()

    def copied(self, folder: Path) -> HouseUnderTest:
        """A second, independent house that begins where this one stands (SQLite); quicker than founding again."""
        twin = HouseUnderTest.__new__(HouseUnderTest)
        twin.clock, twin.home = SetClock(self.clock.at_us), folder / "home"
        twin.secrets, twin.counters, twin.shares = dict(self.secrets), dict(self.counters), self.shares
        with nullcontext() if self.put_away else self.desk.writing():
            shutil.copytree(self.home, twin.home)
        twin.house, twin.put_away = open_house(twin.home, clock=twin.clock), False
        return twin

    def close_to_copies(self) -> HouseUnderTest:
        """Nobody works here any more; copies are made of what lies there."""
        self.house.close()
        self.put_away = True
        return self

    @property
    def desk(self) -> Desk:
        return self.house.desk

    def person(self, user: str, *roles: str, trial: str | None = None) -> Actor:
        """An active person with a key and roles, enrolled and granted by the root key as at `init`."""
        if user not in self.secrets:
            self._enrol(user)
        for role in roles:
            self.grant(user, role, trial=trial)
        return Actor(user)

    def _enrol(self, user: str) -> None:
        name = user.replace("-", " ").capitalize()
        key = self.house.signer.new_person(user, name, PASSWORD, one_time_kind="counter")
        self.secrets[user], self.counters[user] = key.one_time_secret, 0
        enrolled = KeyEnrolled(
            klass="person", holder=user, public_key=base64_text(key.public_key), printed_name=name,
            certificate_sha256=key.certificate_sha256, at_init=True,
        )
        self.desk.record_as_root([
            (PersonRegistered(user=user, printed_name=name, local_offset="+00:00", at_init=True), ()),
            (IdentityChecked(user=user, how="in_person", at_init=True), ()),
            (enrolled, (lambda message: self.house.signer.prove_new_person(user, PASSWORD, message),)),
        ])
        self._signed(user, AccountabilityStated(user=user, statement=STATEMENT))

    def _signed(self, user: str, event: Any) -> Receipt:
        """A person's entry without asking policy: for setting a test up only."""
        draft = Draft(
            event, under=Decision(True, "P-00", "set up for a test", "none"), meaning="responsibility",
            view=View("Set up for a test", "test", ()),
        )
        return self.sign(Actor(user), lambda session, occasion: draft)

    def _open(self) -> None:
        """Founded and opened by two people, in the fewest entries; tests of founding take `founding=True`."""
        self.person("owner-0")
        self.person("qa-0")
        self.shares = enrol_recovery_key(self.desk, "owner-0", "qa-0")
        first = self._signed("owner-0", InstallationFounded(owner="owner-0", qa="qa-0"))
        self._signed("qa-0", InstallationFounded(owner="owner-0", qa="qa-0", first=first.id))
        first = self._signed("owner-0", InstallationOpened(people=2, documents=()))
        self._signed("qa-0", InstallationOpened(people=2, documents=(), first=first.id))

    def grant(self, user: str, role: str, *, trial: str | None = None) -> None:
        """A role given by the root key; it counts as delegated."""
        granted = RoleGranted(user=user, role=role, because="set up for a test", at_init=True)
        self.desk.record_as_root([(granted, ())], trial=trial)

    def proof(self, user: str) -> Proof:
        """Password and the next one-time code of a person."""
        counter = self.counters[user]
        self.counters[user] += 1
        return Proof(PASSWORD, pyotp.HOTP(self.secrets[user]).at(counter))

    def sign(self, actor: Actor, propose: Propose, **options: Any) -> Receipt:
        """Prepare, sign with the person's key and commit."""
        return self.desk.commit(self.desk.prepare(actor, propose, **options), self.proof(actor.user))

    def commit(self, proposal: Any) -> Receipt:
        """Sign and commit what a use case prepared."""
        return self.desk.commit(proposal, self.proof(proposal.actor.user))

    def work(self) -> int:
        """Carry out what the outbox holds."""
        return outbox.drain(self.desk)

    def words(self) -> list[str]:
        """The actions recorded, in order."""
        with self.desk.reading() as session:
            return [entry.body["action"] for entry in store.read_entries(session)]

    def entries(self) -> list[Any]:
        """All entries, parsed."""
        with self.desk.reading() as session:
            return list(store.read_entries(session))

    def check(self) -> None:
        """What every test promises at its end."""
        check_ledger(self.desk)
        difference = self.house.compare()
        assert difference.none, difference.in_words()


def check_ledger(desk: Desk) -> None:
    """Numbers, streams, signatures, tree and notes of the whole record."""
    keys: dict[str, bytes] = {}
    streams: dict[str, int] = {}
    frontier, roots = proofs.Frontier(), {}
    with desk.reading() as session:
        for number, entry in enumerate(store.read_entries(session)):
            fields = entry.body["fields"]
            if entry.body["action"] in ("ledger.founded", "key.enrolled", "key.rotated"):
                public = from_base64(fields["public_key"])
                keys[kid_of(public)] = public
            assert entry.seq == number
            assert entry.stream_seq == streams.get(entry.stream, 0)
            streams[entry.stream] = entry.stream_seq + 1
            assert signature_is_valid(keys[entry.kid], body_to_sign(entry.body), from_base64(entry.sig))
            frontier.add(entry.leaf)
            roots[frontier.size] = frontier.root()
        for row in session.execute(store.checkpoints.select()):
            checkpoint = proofs.Checkpoint.parse(row.note)
            assert checkpoint.root == roots[checkpoint.size] == bytes(row.root)
        assert proofs.root_at(store.StoredNodes(session), frontier.size) == frontier.root()


@contextmanager
def a_house(
    folder: Path, database_url: str | None = None, *, founding: bool = False, pages: str = PAGE
) -> Iterator[HouseUnderTest]:
    """A house that checks itself on the way out; `founding` leaves it before its first two people. `pages`: the
    address for which passkeys count."""
    with checked(HouseUnderTest(folder, database_url, founding=founding, pages=pages)) as house:
        yield house


@contextmanager
def checked(house: HouseUnderTest) -> Iterator[HouseUnderTest]:
    """The promise at the end of a test, for a house made elsewhere. Commands run in this process keep its clock."""
    try:
        with patch("countersign.house.SystemClock", lambda: house.clock):
            yield house
        house.check()
    finally:
        house.house.close()
