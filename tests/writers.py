"""Processes that append to a house through its desk until they are done or killed; what they were told is on file."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyotp

import countersign.house
from audit.lookout import Glance
from audit.vocabulary.access import AccountabilityStated
from audit.vocabulary.ledger import ClockStepped
from core.policy.state import Actor, Decision
from core.work import Draft, Proof, Receipt, View
from tests.house import PASSWORD

YES = Decision(True, "P-03", "set up for a test", "service")
HOUSE = Actor.of_service("house")
# Where a writer may be told to stand still, to be killed there.
APPENDED, SIGNED, COMMITTED = "appended", "signed", "committed"
STOPS = (APPENDED, SIGNED, COMMITTED)


class ShiftedClock:
    """The machine's clock moved by a fixed span, the same in every process of a test."""

    def __init__(self, shift_us: int) -> None:
        self.shift_us = shift_us

    def now(self) -> int:
        return time.time_ns() // 1000 + self.shift_us

    def confirm(self) -> None:
        """A shifted clock is always believed."""


class Diary:
    """Lines that survive the writer: each is one write to a file opened for appending."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, what: str, **more: Any) -> None:
        os.write(self._file, json.dumps({"what": what, **more}).encode() + b"\n")

    def acknowledge(self, receipt: Receipt) -> None:
        self.say("acknowledged", seq=receipt.seq, id=receipt.id, leaf=receipt.leaf.hex(), note=receipt.note)

    def stand(self, place: str, **more: Any) -> None:
        """Say where, and wait for SIGKILL."""
        self.say(place, **more)
        while True:
            signal.pause()


class StandingSigner:
    """The house's own signer; before or after the note of the n-th checkpoint it stands still."""

    def __init__(self, signer: Any, diary: Diary, place: str, after: int) -> None:
        self._signer, self._diary, self._place, self._left = signer, diary, place, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._signer, name)

    def sign_checkpoint(
        self, old_size: int, leaves: Sequence[bytes], rotation: bytes | None = None, glance: Glance | None = None
    ) -> str:
        self._left -= 1
        if self._place == APPENDED and self._left < 0:
            self._diary.stand(APPENDED)
        note = str(self._signer.sign_checkpoint(old_size, leaves, rotation, glance))
        if self._place == SIGNED and self._left < 0:
            self._diary.stand(SIGNED, note=note)
        return note


def write(home: str, url: str, diary_path: str, user: str, secret: str, shift_us: int, seed: int, stop: str,
          commits: int) -> None:
    """Service entries in commits of one to four and statements signed by `user`, `commits` of them altogether."""
    rng = random.Random(seed)
    os.environ["COUNTERSIGN_DATABASE_URL"] = url
    house = countersign.house.open_house(Path(home), clock=ShiftedClock(shift_us))
    diary, after = Diary(Path(diary_path)), rng.randrange(3)
    if stop:
        house.desk.signer = StandingSigner(house.signer, diary, stop, after)
    diary.say("began")
    for number in range(commits):
        if rng.random() < 0.3:
            counter = house.signer._keys.read("person", user)["next_counter"]
            receipts = [_state(house, user, f"{seed}/{number}", Proof(PASSWORD, pyotp.HOTP(secret).at(counter)))]
        else:
            with house.desk.open(HOUSE) as work:
                for part in range(rng.randint(1, 4)):
                    work.record(ClockStepped(microseconds=part, because=f"{seed}/{number}"), under=YES)
            receipts = work.receipts
        if stop == COMMITTED and number >= after:
            diary.stand(COMMITTED, ids=[receipt.id for receipt in receipts])
        for receipt in receipts:
            diary.acknowledge(receipt)
    house.close()


def _state(house: Any, user: str, statement: str, proof: Proof) -> Receipt:
    view = View("Statement", "statement", (("text", statement),))
    draft = Draft(AccountabilityStated(user=user, statement=statement), under=YES, meaning="responsibility", view=view)
    receipt: Receipt = house.desk.sign(Actor(user), lambda session, occasion: draft, proof)
    return receipt
