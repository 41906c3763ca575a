"""Checks of operational qualification that need another record than the live one: a home founded for them on this
machine, with this software, and taken away afterwards. Its keys, people and entries are of no other use.

Its store is a SQLite file whatever the live record's is; what is asked of the live record itself is asked there
(countersign/qualification.py).
"""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyotp
from sqlalchemy.exc import SQLAlchemyError

from audit import proofs, store
from audit.entry import base64_text
from audit.vocabulary.access import IdentityChecked, PersonRegistered
from audit.vocabulary.ledger import KeyEnrolled
from core.clock import Clock, SystemClock
from core.errors import AppendingStopped, ClockUntrusted, CountersignError, NotAuthenticated
from core.ledger_continuing import compare_with
from core.work import Proof
from countersign.backup import make_backup, verified_size
from countersign.house import House, found_house, open_house
from countersign.restore import restore
from countersign.settings import Settings, sqlite_url
from countersign.web.accounts import IDLE_US, Passwords, log_in, session_of, set_password
from validation.ports import Found

ORIGIN = "qualification.local/rehearsal"
WRITERS, EACH = 2, 10


@dataclass(frozen=True, slots=True)
class Later:
    """The same clock, so much later."""

    clock: Clock
    by_us: int

    def now(self) -> int:
        """Microseconds since 1970."""
        return self.clock.now() + self.by_us

    def confirm(self) -> None:
        """As the clock behind it."""
        self.clock.confirm()


@contextmanager
def scratch_home() -> Iterator[House]:
    """A home founded for one check, taken away afterwards."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        made = found_house(Settings(
            home=home, origin=ORIGIN, database_url=sqlite_url(home),
            password_memory_kib=64, password_passes=1, password_lanes=1,
        ))
        try:
            yield made
        finally:
            made.close()


def _register(house: House, user: str) -> None:
    house.desk.record_as_root([
        (PersonRegistered(user=user, printed_name=user, local_offset="+00:00", at_init=True), ())])


def _standing(house: House) -> tuple[int, str]:
    """Size and root of a record."""
    with house.desk.reading() as session:
        size, _ = store.head(session)
        return size, proofs.root_at(store.StoredNodes(session), size).hex()


def enrolled(house: House, user: str, password: str) -> pyotp.HOTP:
    """A person of a scratch home with a key of their own; what gives their one-time codes."""
    key = house.signer.new_person(user, "Rehearsal", password, one_time_kind="counter")
    word = KeyEnrolled(
        klass="person", holder=user, public_key=base64_text(key.public_key), printed_name="Rehearsal",
        certificate_sha256=key.certificate_sha256, at_init=True,
    )
    house.desk.record_as_root([
        (PersonRegistered(user=user, printed_name="Rehearsal", local_offset="+00:00", at_init=True), ()),
        (IdentityChecked(user=user, how="in_person", at_init=True), ()),
        (word, (partial(house.signer.prove_new_person, user, password),)),
    ])
    return pyotp.HOTP(key.one_time_secret)


# -- Sessions and proofs -------------------------------------------------------------------------------------------


def session_and_proof() -> Found:
    """A code works once, a wrong password never, and a login left alone for a quarter of an hour has to be repeated."""
    user, password = "rehearsal-1", secrets.token_urlsafe(18)
    with scratch_home() as house:
        codes = enrolled(house, user, password)
        answers = {
            "first proof": _accepted(partial(house.signer.prove, user, Proof(password, codes.at(0)))),
            "the same proof again": _accepted(partial(house.signer.prove, user, Proof(password, codes.at(0)))),
            "wrong password": _accepted(partial(house.signer.prove, user, Proof(password + "x", codes.at(1)))),
            "next proof": _accepted(partial(house.signer.prove, user, Proof(password, codes.at(1)))),
        }
        passwords = Passwords(64, 1, 1)
        set_password(house.desk, passwords, user, password)
        token, _ = log_in(house.desk, passwords, user, password)
        after = replace(house.desk, clock=Later(house.desk.clock, IDLE_US + 1_000_000))
        answers["login at once"] = session_of(house.desk, token) is not None
        answers["login after the break"] = session_of(after, token) is not None
    wanted = {"first proof": True, "the same proof again": False, "wrong password": False, "next proof": True,
              "login at once": True, "login after the break": False}
    says = ", ".join(f"{name}: {'accepted' if yes else 'refused'}" for name, yes in answers.items())
    return Found(answers == wanted, f"{says}.", {"answers": answers})


def _accepted(prove: Callable[[], object]) -> bool:
    try:
        prove()
    except NotAuthenticated:
        return False
    return True


# -- Clock ---------------------------------------------------------------------------------------------------------


def clock_step() -> Found:
    """A clock that stands an hour off what this boot remembers appends nothing until somebody vouches for it."""
    answers = {}
    with scratch_home() as house, tempfile.TemporaryDirectory() as name:
        for direction, hours in (("ahead", -1), ("back", 1)):
            kept = Path(name) / direction
            SystemClock().remember_in(kept)
            known = json.loads(kept.read_text())
            kept.write_text(json.dumps(known | {"offset_us": known["offset_us"] + hours * 3_600_000_000}))
            stepped = SystemClock()
            stepped.remember_in(kept)
            moved = replace(house, desk=replace(house.desk, clock=stepped))
            before = _standing(house)
            try:
                _register(moved, f"clock-{direction}")
            except ClockUntrusted as refusal:
                answers[direction] = refusal.fact
            untouched = _standing(house) == before
            stepped.confirm()
            _register(moved, f"clock-{direction}-confirmed")
            if not untouched or _standing(house)[0] != before[0] + 1:
                answers.pop(direction, None)
    says = " ".join(answers.values()) or "An entry was appended under a clock that was not believable."
    return Found(set(answers) == {"ahead", "back"}, f"{says} Nothing appended; after confirmation it was.", answers)


# -- Two writers ---------------------------------------------------------------------------------------------------


def two_writers() -> Found:
    """Two openings of one home append at once: every entry is there, numbered without gap, and the record verifies."""
    with scratch_home() as house:
        before, _ = _standing(house)
        failures: list[str] = []
        start = threading.Barrier(WRITERS)

        def write(number: int) -> None:
            own = open_house(house.home)
            try:
                start.wait(timeout=30)
                for entry in range(EACH):
                    _register(own, f"writer-{number}-{entry}")
            except (CountersignError, threading.BrokenBarrierError, SQLAlchemyError) as error:
                failures.append(f"writer {number}: {error}")
            finally:
                own.close()

        writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
        for one in writers:
            one.start()
        for one in writers:
            one.join()
        size, _ = _standing(house)
        with house.desk.reading() as session:
            named = [entry.body["fields"].get("user", "") for entry in store.read_entries(session)]
        folded = house.compare()
        make_backup(house, house.home.parent / "copy")
        verified = verified_size(house.home.parent / "copy")
    written = {name for name in named if name.startswith("writer-")}
    fits = not failures and size == before + WRITERS * EACH == verified and len(written) == WRITERS * EACH
    says = f"{len(written)} of {WRITERS * EACH} entries by {WRITERS} writers, {verified} entries verified."
    return Found(fits and folded.none, " ".join([says, folded.in_words(), *failures]),
                 {"before": before, "after": size, "failures": failures})


# -- Restore -------------------------------------------------------------------------------------------------------


def restore_drill() -> Found:
    """A backup becomes a home again with the same root; it appends nothing, and a later checkpoint that is known
    outside shows the loss, which two persons alone can heal (`ledger continue`)."""
    with scratch_home() as house:
        place = house.home.parent
        make_backup(house, place / "backup")
        copied = _standing(house)
        _register(house, "after-the-backup")
        with house.desk.reading() as session:
            known = store.last_checkpoint(session)
        assert known is not None  # every commit writes one
        restore(place / "backup", place / "restored", now_us=house.desk.clock.now())
        again = open_house(place / "restored")
        try:
            same = _standing(again) == copied
            refused = ""
            try:
                _register(again, "too-early")
            except AppendingStopped as stopped:
                refused = stopped.fact
            with again.desk.reading() as session:
                found = compare_with(session, known.note)
            untouched = _standing(again) == copied and again.compare().none
        finally:
            again.close()
    says = (f"{copied[0]} entries restored, root {'the same' if same else 'ANOTHER'}; appending "
            f"{'refused' if refused else 'NOT refused'}. {found.in_words()}")
    return Found(same and bool(refused) and found.lost and untouched, says,
                 {"size": copied[0], "root": copied[1], "refused": refused})


# -- The live record meanwhile -------------------------------------------------------------------------------------


def live_record_kept(house: House, before: tuple[int, str]) -> Found:
    """Size and root of the live record from before the first check, against what stands there now."""
    size, root = before
    with house.desk.reading() as session:
        there, _ = store.head(session)
        then = proofs.root_at(store.StoredNodes(session), size).hex() if there >= size else ""
    after = _standing(house)
    says = (f"Before: {size} entries, root {root}. After: {after[0]} entries, root {after[1]}. The first {size} "
            f"{'are' if then == root else 'ARE NOT'} those from before.")
    return Found(then == root, says, {"before": {"size": size, "root": root},
                                      "after": {"size": after[0], "root": after[1]}})


def standing_of(house: House) -> tuple[int, str]:
    """Size and root of the live record, for `live_record_kept`."""
    return _standing(house)
