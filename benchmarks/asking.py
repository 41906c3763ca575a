"""What an auditor waits for: a filtered page of a long record, and the proof of one entry (DESIGN 9).

    python -m benchmarks.asking [--entries 1000000] [--quick] [--store sqlite|postgresql] [--keep FOLDER] [--only TEXT]

Builds a record of so many entries, each signed (Ed25519), hashed into the tree and covered by a checkpoint, over
300 days, 5 trials and 31 words that a service may sign. Then a person who is logged in asks for pages by HTTP in the
same process: `page` is the whole answer (right to read, 50 rows with sentences, capped counts, days), `proof` the
inclusion path of a random entry under the newest checkpoint, recomputed to its root. Bars: page p95 < 50 ms, proof
p95 < 5 ms at 1,000,000. A folder given with --keep is asked again at the next run.
Figures stand in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import statistics
import tempfile
import time
import typing
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from audit import ledger, proofs, store
from audit.entry import SignedBody, base64_text, canonical, payload_to_sign
from audit.query import Query
from audit.vocabulary.registry import REGISTRY
from core import ledger_queries as record
from core.clock import in_words
from core.ids import uuid7
from core.ledger_queries import SessionReader
from countersign.house import House, open_house
from countersign.web.accounts import Passwords, set_password
from countersign.web.app import build_app, settle
from tests.clocks import SetClock
from tests.house import HouseUnderTest
from tests.postgres import fresh_database, kept_server

BATCH = 1_000
SPREAD_US = 300 * 86_400 * 1_000_000
PAGE_BAR_MS, PROOF_BAR_MS = 50.0, 5.0
AUDITOR = "qa-1"
PASSWORD = "a login password of its own"  # noqa: S105
COMMON = ("quality.checked", "series.received", "read.begun", "run.finished", "time_point.moved")
RARE = (
    "action.refused", "backup.made", "clock.stepped", "cohort.candidate_flagged", "consent.recorded",
    "deviation.opened", "gate.halted", "gate.opened", "gate.resumed", "gate.suspended", "halt.evaluated",
    "intake.recorded", "model.refused", "privacy.notified", "query.exported", "read.ai_shown", "report.drawn",
    "run.failed", "run.requested", "run.undecided", "series.duplicated", "series.held", "series.released",
    "study.completed", "subject.progressed", "subject.screened",
)
QUESTIONS = (
    "", "trial:BENCH-1", "actor:person-07", "action:quality.checked", "action:gate.*", "action:read.* trial:BENCH-2",
    "actor:person-07 action:series.* -trial:BENCH-3", "subject:S-0042", "subject:S-00* trial:BENCH-1",
    "reason:late actor:person-3*", "-action:run.*", "since:{mid} action:quality.*", "as-of:{half} trial:BENCH-4",
    "seq:{low}..{high}", "actor:nobody", "action:report.drawn",
)


def _something(hint: Any) -> Any:
    """A value of a field's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return [_something(arguments[0])]
    if dataclasses.is_dataclass(hint):
        return _fields(typing.cast(type, hint))
    return {int: 96, bool: True}.get(hint, "accepted")


def _fields(cls: type) -> dict[str, Any]:
    """Every field that a word demands."""
    hints = {name: hint for name, hint in typing.get_type_hints(cls).items() if name != "WORD"}
    return {"class" if name == "klass" else name: _something(hint) for name, hint in hints.items()
            if type(None) not in typing.get_args(hint)}


def entries(count: int, start_us: int) -> Iterator[tuple[dict[str, object], int]]:
    """Bodies of a long trial with the instant of each, all but head and origin: five common words, 26 rare ones."""
    rng = random.Random(7)  # noqa: S311
    shapes = {name: _fields(REGISTRY[name, 1].cls) for name in (*COMMON, *RARE)}
    for number in range(count):
        at = start_us + SPREAD_US * number // count
        action = rng.choice(RARE if rng.random() < 0.02 else COMMON)
        own: dict[str, object] = {
            "case": f"case-{number}", "series": f"2.25.{rng.getrandbits(120)}",
            "subject": f"S-{rng.randrange(2000):04}", "time_point": f"W{rng.randrange(9) * 8:02}",
            "study": f"2.25.{rng.getrandbits(60)}",
        }
        body: dict[str, object] = {
            "action": action, "version": 1, "type": 1, "actor": "house",
            "at": in_words(at), "id": uuid7(at, random=rng.randbytes(10)), "role": "service", "rule": "P-30",
            "on_behalf_of": f"person-{rng.randrange(40):02}", "trial": f"BENCH-{1 + rng.randrange(5)}",
            "fields": shapes[action] | {name: value for name, value in own.items() if name in shapes[action]},
        }
        if rng.random() < 0.05:
            body["reason"] = rng.choice(("late", "wrong_subject", "image_quality"))
        yield body, at


def fill(house: HouseUnderTest, count: int) -> float:
    """Append so many entries, really signed, in batches; returns the seconds it took."""
    signer, begun = house.house.signer, time.perf_counter()
    source = entries(count, house.clock.now())
    done = 0
    while done < count:
        part = [one for _, one in zip(range(min(BATCH, count - done)), source, strict=False)]
        times = iter([at for _, at in part])
        with house.desk.writing() as session:
            last = store.last_checkpoint(session)
            assert last is not None  # founded
            seen = {"head": {"size": last.size, "root": base64_text(last.root)}, "log": last.origin}
            signed = []
            for body, _ in part:
                payload = canonical(body | seen, "body")
                signature = signer.attest("house", payload_to_sign(payload))
                signed.append(SignedBody(body | seen, signature.kid, base64_text(signature.sig), payload))
            _, made = ledger.append(session, signed, now=lambda times=times: next(times))  # type: ignore[misc]
            ledger.close(session, signer.sign_checkpoint, made)
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
    settle()  # as `countersign serve` does
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
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with nullcontext(str(given.keep)) if given.keep else tempfile.TemporaryDirectory() as folder:
        house = the_house(Path(folder), count, given.store, keep=given.keep is not None)
        kept = ask(house, rounds, given.only)
        house.close()
    raise SystemExit(0 if kept or count < 1_000_000 else 1)


def the_house(folder: Path, count: int, store_name: str, *, keep: bool = False) -> House:
    """The house in this folder, built now unless an earlier run left it; a kept PostgreSQL lies in the folder, too."""
    url = None
    if store_name == "postgresql":
        url = kept_server(folder / "postgresql") if keep else fresh_database()
        os.environ["COUNTERSIGN_DATABASE_URL"] = url
    if (folder / "home").exists():
        return built_before(folder / "home")
    house = HouseUnderTest(folder, url)
    seconds = fill(house, count)
    speed = f"{count / seconds:.0f} a second"
    print(f"{store_name}: {count} entries signed, hashed and covered in {seconds:.0f} s ({speed})")
    house.person(AUDITOR, "qa_auditor")
    if url is not None:
        with house.house.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
            session.exec_driver_sql("VACUUM (ANALYZE) entry")  # as the server does by itself within minutes
    return house.house


def built_before(home: Path) -> House:
    """A house that an earlier run left behind, at the time of its newest entry."""
    clock = SetClock()
    house = open_house(home, clock=clock)
    with house.desk.reading() as session:
        newest = record.page(SessionReader(session), Query(), limit=1).lines[0]
    clock.at_us = newest.ts
    print(f"{house.engine.dialect.name}: {newest.seq + 1} entries, built before")
    return house


if __name__ == "__main__":
    main()
