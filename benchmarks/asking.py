"""What an auditor waits for: a filtered page of a long record, and the proof of one entry (DESIGN 9).

    python -m benchmarks.asking [--entries 1000000] [--quick] [--store sqlite|postgresql] [--keep FOLDER] [--only TEXT]

Builds a record of so many entries, each signed (Ed25519), hashed into the tree and covered by a checkpoint, over
300 days, 5 trials and 31 words. Then a person who is logged in asks for pages by HTTP in the same process: `page` is
the whole answer (right to read, 50 rows with sentences, capped counts, days), `proof` the inclusion path of a random
entry under the newest checkpoint, recomputed to its root. Bars: page p95 < 50 ms, proof p95 < 5 ms at 1,000,000.
Figures stand in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from fastapi.testclient import TestClient

from audit import ledger, proofs
from audit.entry import SignedBody, base64_text, body_to_sign
from audit.query import Query
from core import ledger_queries as record
from core.clock import in_words
from core.ids import uuid7
from core.ledger_queries import SessionReader, SqliteReader
from countersign.house import House, open_house
from countersign.web.accounts import Passwords, set_password
from countersign.web.app import build_app
from tests.clocks import SetClock
from tests.house import HouseUnderTest

BATCH = 1_000
SPREAD_US = 300 * 86_400 * 1_000_000
PAGE_BAR_MS, PROOF_BAR_MS = 50.0, 5.0
AUDITOR = "qa-1"
PASSWORD = "a login password of its own"  # noqa: S105
COMMON = ("quality.disposed", "series.received", "read.begun", "run.finished", "time_point.moved")
RARE = tuple(f"bench.word_{number:02}" for number in range(26))
QUESTIONS = (
    "", "trial:BENCH-1", "actor:person-07", "action:quality.disposed", "action:bench.*", "action:read.* trial:BENCH-2",
    "actor:person-07 action:series.* -trial:BENCH-3", "subject:S-0042", "subject:S-00* trial:BENCH-1",
    "reason:late actor:person-3*", "-action:run.*", "since:{mid} action:quality.*", "as-of:{half} trial:BENCH-4",
    "seq:{low}..{high}", "actor:nobody", "action:bench.word_25",
)


def entries(house: HouseUnderTest, count: int, start_us: int) -> Iterator[tuple[dict[str, object], int]]:
    """Bodies of a long trial with the instant of each: five common words, twenty-six rare ones."""
    rng = random.Random(7)  # noqa: S311
    head = {"size": 0, "root": base64_text(proofs.EMPTY_ROOT)}
    for number in range(count):
        at = start_us + SPREAD_US * number // count
        rare = rng.random() < 0.02
        subject = f"S-{rng.randrange(2000):04}"
        body: dict[str, object] = {
            "action": rng.choice(RARE if rare else COMMON), "version": 1, "type": 1, "actor": "house",
            "at": in_words(at), "head": head, "id": uuid7(at, random=rng.randbytes(10)),
            "log": house.house.settings.origin, "role": "service", "rule": "P-30",
            "on_behalf_of": f"person-{rng.randrange(40):02}", "trial": f"BENCH-{1 + rng.randrange(5)}",
            "fields": {
                "case": f"case-{number}", "series": f"2.25.{rng.getrandbits(120)}", "subject": subject,
                "time_point": f"W{rng.randrange(9) * 8:02}", "disposition": "accepted", "files": 96,
                "study": f"2.25.{rng.getrandbits(60)}",
            },
        }
        if rng.random() < 0.05:
            body["reason"] = rng.choice(("late", "wrong_subject", "image_quality"))
        yield body, at


def fill(house: HouseUnderTest, count: int) -> float:
    """Append so many entries, really signed, in batches; returns the seconds it took."""
    signer, begun = house.house.signer, time.perf_counter()
    source = entries(house, count, house.clock.now())
    done = 0
    while done < count:
        part = [one for _, one in zip(range(min(BATCH, count - done)), source, strict=False)]
        signed = []
        for body, _ in part:
            signature = signer.attest("house", body_to_sign(body))
            signed.append(SignedBody(body, signature.kid, base64_text(signature.sig)))
        times = iter([at for _, at in part])
        with house.desk.writing() as session:
            ledger.append(session, signed, now=lambda times=times: next(times))  # type: ignore[misc]
            ledger.close(session, signer.sign_checkpoint)
        done += len(part)
        house.clock.at_us = part[-1][1]
    return time.perf_counter() - begun


@dataclass(frozen=True, slots=True)
class Took:
    """Milliseconds on the wall, and of this process' own CPU: what others do on the machine is not in the latter."""

    median: float
    p95: float
    cpu_median: float
    cpu_p95: float

    def in_words(self) -> str:
        return f"{self.median:>6.1f} ms {self.p95:>6.1f} ms {self.cpu_median:>6.1f} ms {self.cpu_p95:>6.1f} ms"


def timed(rounds: int, act: Callable[[int], None]) -> Took:
    """So many rounds; the first five warm caches."""
    wall, cpu = [], []
    for number in range(rounds + 5):
        begun, used = time.perf_counter(), time.process_time()
        act(number)
        wall.append((time.perf_counter() - begun) * 1000)
        cpu.append((time.process_time() - used) * 1000)
    wall, cpu = sorted(wall[5:]), sorted(cpu[5:])
    late = min(len(wall) - 1, int(len(wall) * 0.95))
    return Took(statistics.median(wall), wall[late], statistics.median(cpu), cpu[late])


def log_in(house: House) -> TestClient:
    set_password(house.desk, Passwords(64, 1, 1), AUDITOR, PASSWORD)
    client = TestClient(build_app(house, watching=False), base_url="http://testserver")
    form = client.get("/login").text
    token = form.split('name="token" value="')[1].split('"')[0]
    client.post("/login", data={"user": AUDITOR, "password": PASSWORD, "token": token, "next": "/healthz"})
    return client


def ask(house: House, rounds: int, only: str | None = None) -> bool:
    """Print what pages (all, or those whose question contains a text) and proofs took; whether both bars are kept."""
    rng = random.Random(11)  # noqa: S311
    with house.desk.reading() as session:
        size = record.newest_note(SessionReader(session)).size
        middle = record.line_at(SessionReader(session), size // 2)
    named = {"mid": in_words(middle.ts)[:10], "half": size // 2, "low": size // 3, "high": size // 3 + 5000}
    slowest: list[Took] = []
    client = log_in(house)
    empty = timed(rounds, lambda number: client.get("/static/mark.svg"))
    print(f"  {'page':<50} {'median':>9} {'p95':>9} {'CPU':>9} {'CPU p95':>9}")
    print(f"  {'(a file without any question, for comparison)':<50} {empty.in_words()}")
    for question in QUESTIONS:
        text = question.format(**named)
        if only and only not in text:
            continue

        def look(number: int, text: str = text) -> None:
            answer = client.get("/ledger", params={"q": text})
            assert (answer.status_code, answer.url.path) == (200, "/ledger"), answer.url  # no page to log in

        took = timed(rounds, look)
        slowest.append(took)
        print(f"  {text or '(everything)':<50} {took.in_words()}")

    def prove(number: int) -> None:
        with house.desk.reading() as session:
            reader = SessionReader(session)
            note = record.newest_note(reader)
            line = record.line_at(reader, rng.randrange(note.size))
            path = record.proof_of(reader, line.seq, note)
        assert proofs.root_of_inclusion(line.leaf, line.seq, note.size, path) == note.root

    proof = timed(rounds * 10, prove)
    print(f"  {'proof of a random entry':<50} {proof.in_words()}")
    page, cpu = max((one.p95 for one in slowest), default=0.0), max((one.cpu_p95 for one in slowest), default=0.0)
    kept = page < PAGE_BAR_MS and proof.p95 < PROOF_BAR_MS
    print(f"  slowest page p95 {page:.1f} ms, CPU {cpu:.1f} ms (bar {PAGE_BAR_MS:.0f}); proof p95 {proof.p95:.1f} ms, "
          f"CPU {proof.cpu_p95:.1f} ms (bar {PROOF_BAR_MS:.0f}): {'kept' if kept else 'NOT KEPT'}")
    return kept


def main() -> None:
    """Build, ask, print. Ends with 1 where a bar is not kept at the full size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="20,000 entries and few rounds, for a look")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--keep", type=Path, metavar="FOLDER",
                        help="build the record in this folder and leave it; one already there is asked again")
    parser.add_argument("--only", metavar="TEXT", help="ask only the questions that contain this")
    given = parser.parse_args()
    count, rounds = (20_000, 10) if given.quick else (given.entries, 60)
    if given.keep and given.store != "sqlite":
        parser.error("--keep is for SQLite: a PostgreSQL database does not lie in the folder.")
    with nullcontext(str(given.keep)) if given.keep else tempfile.TemporaryDirectory() as folder:
        if (home := Path(folder) / "home").exists():
            house = built_before(home)
        else:
            house = build(Path(folder), count, given.store)
        kept = ask(house, rounds, given.only)
        house.close()
    raise SystemExit(0 if kept or count < 1_000_000 else 1)


def build(folder: Path, count: int, store: str) -> House:
    """A new house with so many entries and an auditor."""
    url = None
    if store == "postgresql":
        from tests.postgres import fresh_database

        url = fresh_database()
    house = HouseUnderTest(folder, url)
    seconds = fill(house, count)
    print(f"{store}: {count} entries signed, hashed and covered in {seconds:.0f} s ({count / seconds:.0f} a second)")
    house.person(AUDITOR, "qa_auditor")
    if url is not None:
        with house.house.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
            session.exec_driver_sql("ANALYZE entry")
    return house.house


def built_before(home: Path) -> House:
    """A house that an earlier run left behind, at the time of its newest entry."""
    with closing(SqliteReader(home / "ledger.db")) as reader:
        newest = record.page(reader, Query(), limit=1).lines[0]
    print(f"sqlite: {newest.seq + 1} entries, built before")
    return open_house(home, clock=SetClock(newest.ts))


if __name__ == "__main__":
    main()
